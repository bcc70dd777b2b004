-- A shipment whose alerts people own: one acknowledged, one snoozed after that, one resolved by hand; what was said, who
-- holds it, whom there is to tell, and what was told.

INSERT INTO organizations (slug) VALUES ('acme');
INSERT INTO shipments (shipment_id, organization, band, plan, departed_at) VALUES
    ('S1', 'acme', 'cryogenic', '{"band": "cryogenic", "upper_c": -150}', '2026-03-02Z');

INSERT INTO alerts (id, shipment_id, subject, kind, severity, state, message, since, withdrawn, raised_at, owner,
    acknowledged_at, acknowledged_by, snoozed_until, snoozed_by, snooze_reason, resolved_at) VALUES
    ('11111111-1111-1111-1111-111111111111', 'S1', 'a', 'late', 'major', 'acknowledged', 'late', '2026-03-03Z', false,
     '2026-03-03Z', 'Kim', '2026-03-03Z', 'key:kim', NULL, NULL, NULL, NULL),
    ('22222222-2222-2222-2222-222222222222', 'S1', 'b', 'tilted', 'major', 'snoozed', 'lying', '2026-03-03Z', false,
     '2026-03-03Z', 'Kim', '2026-03-03Z', 'key:kim', '2026-03-04Z', 'key:kim', 'It is checked.', NULL),
    ('33333333-3333-3333-3333-333333333333', 'S1', 'c', 'shock', 'major', 'resolved', 'a blow', '2026-03-03Z', false,
     '2026-03-03Z', 'Kim', '2026-03-03Z', 'key:kim', NULL, NULL, NULL, '2026-03-03Z');
INSERT INTO incidents (id, shipment_id, organization, opened_at, cause_alert_id, state, kind, severity, headline,
    next_action) SELECT id, 'S1', 'acme', '2026-03-03Z', id, 'open', kind, severity, message, 'Look.' FROM alerts;
UPDATE alerts SET incident_id = id;
INSERT INTO incident_revisions (incident_id, revision, cause_alert_id, state, kind, severity, headline, next_action,
    alert_ids, reason, recorded_at)
    SELECT id, 1, id, state, kind, severity, headline, next_action, ARRAY[id], 'alert_raised', opened_at FROM incidents;
INSERT INTO alert_revisions (alert_id, revision, state, severity, message, since, withdrawn, "by", reason, recorded_at, owner, note)
    SELECT id, 1, state, severity, message, since, withdrawn, 'key:kim', 'snoozed', raised_at, owner, 'a note' FROM alerts;
INSERT INTO alert_comments (id, alert_id, at, "by", text)
    SELECT gen_random_uuid(), id, raised_at, 'key:kim', 'Calling.' FROM alerts;
INSERT INTO attention (scope, attend_at) VALUES ('S1', now());

INSERT INTO contacts (contact_id, organization, name, timezone, channels, updated_by)
    VALUES ('desk', 'acme', 'Desk', 'UTC', '[]', 'key:kim');
INSERT INTO contact_revisions (contact_id, revision, recorded_at, "by", content)
    VALUES ('desk', 1, now(), 'key:kim', '{}');
INSERT INTO handovers (id, shipment_id, at, from_party, to_party, "by")
    VALUES (gen_random_uuid(), 'S1', '2026-03-02Z', 'A', 'B', 'key:kim');
INSERT INTO escalations (incident_id, phase, state) SELECT id, 'quiet', '{}' FROM incidents;
INSERT INTO notifications (id, scope, incident_id, contact_id, channel, address, purpose, reason, severity, state,
    decided_at) SELECT id, 'S1', id, 'desk', 'email', 'a@b.example', 'escalation', 'began', 'major', 'sent', now()
    FROM incidents;
INSERT INTO notification_attempts (notification_id, number, at, took_s, outcome)
    SELECT id, 1, now(), 0.1, 'sent' FROM notifications;
