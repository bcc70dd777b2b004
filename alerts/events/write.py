"""Writes events in the transaction of what they tell of, numbered by shipment."""

from dataclasses import dataclass

from alerts.work.bulk import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScope:
    """The shipment and organization that an event is about; without a shipment, the whole fleet."""

    shipment_id: str | None = None
    organization: str | None = None
    drill: bool = False

    def event(self, type_: str, data: Row) -> Row:
        """Return the row of an event, for `WRITE_EVENTS`."""
        return {
            "type": type_,
            "shipment_id": self.shipment_id,
            "organization": self.organization,
            "data": {**data, "organization": self.organization, "drill": self.drill},
        }


# How bad it has been so far: an event of what was critical once is for those who only hear of that, whatever it is now.
# The revisions are written before the events.
_WAS_CRITICAL = """
CASE split_part(told.type, '.', 1)
    WHEN 'excursion' THEN EXISTS (
        SELECT FROM excursion_revisions WHERE excursion_id = told.about AND severity = 'critical')
    WHEN 'alert' THEN EXISTS (SELECT FROM alert_revisions WHERE alert_id = told.about AND severity = 'critical')
    WHEN 'incident' THEN EXISTS (
        SELECT FROM incident_revisions WHERE incident_id = told.about AND severity = 'critical')
    ELSE false END
"""

# The counters' rows stay locked until the commit, in the order of the shipments' ids, so that a later commit
# has the higher number. Other writers of the shipment wait, and nobody waits for another lock after that.
WRITE_EVENTS = f"""
WITH told AS MATERIALIZED (
    SELECT place, type, shipment_id, organization, data,
        CASE WHEN data->>'id' ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' THEN (data->>'id')::uuid END AS about,
        row_number() OVER (PARTITION BY shipment_id ORDER BY place DESC) - 1 AS before_last
    FROM ROWS FROM (jsonb_to_recordset($1) AS (type text, shipment_id text, organization text, data jsonb))
        WITH ORDINALITY AS row(type, shipment_id, organization, data, place)
), counted AS (
    INSERT INTO event_sequences AS s (shipment_id, last)
    SELECT shipment_id, count(*) FROM told WHERE shipment_id IS NOT NULL GROUP BY shipment_id ORDER BY shipment_id
    ON CONFLICT (shipment_id) DO UPDATE SET last = s.last + EXCLUDED.last
    RETURNING shipment_id, last
)
INSERT INTO outbox (type, shipment_id, organization, data)
SELECT told.type, told.shipment_id, told.organization, told.data
    || CASE WHEN NOT told.data ? 'severity' THEN '{{}}'
        WHEN told.data->>'severity' = 'major' AND {_WAS_CRITICAL} THEN '{{"worst_severity": "critical"}}'
        ELSE jsonb_build_object('worst_severity', told.data->'severity') END
    || CASE WHEN counted.shipment_id IS NULL THEN '{{}}'
        ELSE jsonb_build_object('sequence', counted.last - told.before_last) END
FROM told LEFT JOIN counted ON counted.shipment_id = told.shipment_id ORDER BY told.place
"""  # noqa: S608 -- our own words
"""Writes events from one JSON array; those of a shipment are numbered by `sequence`, without gaps."""
