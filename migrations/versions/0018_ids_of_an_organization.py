"""Ids are unique within an organization: what has one is stored under the key `organization/id`, in every table at once.

What was recorded of descriptions (the content of revisions) and what was told (events, messages) has ids as people know
them, and stays as it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NOUNS = {
    "shipment": "shipments",
    "site": "sites",
    "product": "products",
    "contact": "contacts",
    "policy": "policies",
}

# Beside those that foreign keys lead from, which are found in the catalogue.
REFERENCES = (
    ("shipment", "evaluation_marks", "shipment_id"),
    ("shipment", "event_sequences", "shipment_id"),
    ("shipment", "attention", "scope"),
    ("shipment", "attention_marks", "scope"),
    ("shipment", "notifications", "scope"),
    ("shipment", "outbox", "shipment_id"),
    ("shipment", "webhook_messages", "shipment_id"),
    ("product", "shipments", "product_id"),
    ("contact", "contacts", "fallback"),
    ("contact", "handovers", "to_contact"),
    ("policy", "notifications", "policy_id"),
)
LISTS = (("api_keys", "shipment_ids"), ("webhooks", "shipment_ids"), ("webhooks", "sees_shipment_ids"))

# They record and announce changes of what alerts and handovers say; a key says nothing new.
QUIET = ("alerts", "handovers")

RENAMED = "CREATE TEMPORARY TABLE renamed (noun text, old text, new text, PRIMARY KEY (noun, old))"
TO_KEYS = "INSERT INTO renamed SELECT '{noun}', {noun}_id, organization || '/' || {noun}_id FROM {table} WHERE organization IS NOT NULL"
TO_IDS = "INSERT INTO renamed SELECT '{noun}', {noun}_id, split_part({noun}_id, '/', 2) FROM {table} WHERE {noun}_id LIKE '%/%'"

POINTING = """
SELECT k.conname AS name, k.conrelid::regclass::text AS table, a.attname AS column, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND k.confrelid = '{table}'::regclass AND array_length(k.conkey, 1) = 1
ORDER BY 2, 1
"""

RENAME = 'UPDATE {table} AS t SET "{column}" = r.new FROM renamed AS r WHERE r.noun = \'{noun}\' AND r.old = t."{column}"'

# What has an organization names its own. What has none names whatever there is of that id.
LIST_KEYS = """
UPDATE {table} AS t SET {column} = (
    SELECT array_agg(CASE WHEN t.organization IS NULL THEN coalesce(r.new, one.id) ELSE t.organization || '/' || one.id END
        ORDER BY one.place)
    FROM unnest(t.{column}) WITH ORDINALITY AS one(id, place)
    LEFT JOIN renamed AS r ON r.noun = 'shipment' AND r.old = one.id)
WHERE cardinality(t.{column}) > 0
"""
LIST_IDS = """
UPDATE {table} AS t SET {column} = (
    SELECT array_agg(substring(one.id FROM '[^/]*$') ORDER BY one.place)
    FROM unnest(t.{column}) WITH ORDINALITY AS one(id, place))
WHERE cardinality(t.{column}) > 0
"""

# Contacts that sites were registered with are named by their site: `site:CLINIC-BOS:1`.
CONTACT = """
CREATE FUNCTION pg_temp.renamed_contact(contact text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN contact LIKE 'site:%' THEN concat_ws(':', 'site', coalesce(
            (SELECT new FROM pg_temp.renamed WHERE noun = 'site' AND old = split_part(contact, ':', 2)),
            split_part(contact, ':', 2)), split_part(contact, ':', 3))
        WHEN contact LIKE 'contact:%' THEN 'contact:' || coalesce(
            (SELECT new FROM pg_temp.renamed WHERE noun = 'contact' AND old = substr(contact, 9)), substr(contact, 9))
        ELSE coalesce((SELECT new FROM pg_temp.renamed WHERE noun = 'contact' AND old = contact), contact)
    END
$$
"""
CONTACTS = """
CREATE FUNCTION pg_temp.renamed_contacts(list jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(CASE jsonb_typeof(one)
        WHEN 'array' THEN jsonb_set(one, '{0}', to_jsonb(pg_temp.renamed_contact(one->>0)))
        ELSE to_jsonb(pg_temp.renamed_contact(one #>> '{}')) END ORDER BY place), '[]')
    FROM jsonb_array_elements(list) WITH ORDINALITY AS each(one, place)
$$
"""
TOLD = """
UPDATE notifications SET contact_id = pg_temp.renamed_contact(contact_id)
WHERE contact_id IS NOT NULL AND contact_id <> pg_temp.renamed_contact(contact_id)
"""
PROGRESS = """
UPDATE escalations AS e SET state = e.state || (
    SELECT jsonb_object_agg(one.name, pg_temp.renamed_contacts(one.list)) FROM jsonb_each(e.state) AS one(name, list)
    WHERE one.name IN ('recipients', 'holders', 'owners', 'asked', 'heard') AND jsonb_typeof(one.list) = 'array')
WHERE e.state ?| ARRAY['recipients', 'holders', 'owners', 'asked', 'heard']
"""
STEPS = """
UPDATE policies SET steps = (
    SELECT coalesce(jsonb_agg(jsonb_set(step, '{to}', pg_temp.renamed_contacts(step->'to')) ORDER BY place), '[]')
    FROM jsonb_array_elements(steps) WITH ORDINALITY AS each(step, place))
WHERE steps::text LIKE '%contact:%'
"""
FORGET = (
    "DROP FUNCTION pg_temp.renamed_contacts(jsonb)",
    "DROP FUNCTION pg_temp.renamed_contact(text)",
    "DROP TABLE pg_temp.renamed",
)

TWICE = "SELECT {noun}_id FROM (SELECT split_part({noun}_id, '/', 2) AS {noun}_id FROM {table} WHERE {noun}_id LIKE '%/%' UNION ALL SELECT {noun}_id FROM {table} WHERE {noun}_id NOT LIKE '%/%') AS every GROUP BY 1 HAVING count(*) > 1 LIMIT 1"


def upgrade() -> None:
    _rename(TO_KEYS, LIST_KEYS)


def downgrade() -> None:
    for noun, table in NOUNS.items():
        taken = op.get_bind().scalar(sa.text(TWICE.format(noun=noun, table=table)))
        if taken is not None:
            raise RuntimeError(f"several organizations have a {noun} {taken}: there is no way back")
    _rename(TO_IDS, LIST_IDS)


def _rename(which: str, lists: str) -> None:
    """Rename what `which` says, in all tables, as many statements as there are columns."""
    op.execute(RENAMED)
    for noun, table in NOUNS.items():
        op.execute(which.format(noun=noun, table=table))
    op.execute("ANALYZE renamed")
    for table in QUIET:
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for noun, table in NOUNS.items():
        _rename_with_what_points_to_it(noun, table)
    for noun, table, column in REFERENCES:
        op.execute(RENAME.format(noun=noun, table=table, column=column))
    for table, column in LISTS:
        op.execute(lists.format(table=table, column=column))
    for statement in (CONTACT, CONTACTS, TOLD, PROGRESS, STEPS):
        op.execute(statement)
    for table in QUIET:
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    for statement in FORGET:
        op.execute(statement)


def _rename_with_what_points_to_it(noun: str, table: str) -> None:
    """Rename the keys of a table and in the columns whose foreign keys lead to it, which are taken off meanwhile."""
    pointing = op.get_bind().execute(sa.text(POINTING.format(table=table))).mappings().all()
    for key in pointing:
        op.execute(f'ALTER TABLE {key["table"]} DROP CONSTRAINT "{key["name"]}"')
    op.execute(RENAME.format(noun=noun, table=table, column=f"{noun}_id"))
    for key in pointing:
        op.execute(RENAME.format(noun=noun, table=key["table"], column=key["column"]))
    for key in pointing:
        op.execute(f'ALTER TABLE {key["table"]} ADD CONSTRAINT "{key["name"]}" {key["definition"]}')
