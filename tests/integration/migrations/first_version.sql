-- As the first version left it: a shipment that was delivered, with an excursion that was seen, taken and over;
-- and one without a logger.

INSERT INTO devices (device_id) VALUES ('D1');
INSERT INTO device_states (device_id) VALUES ('D1');

INSERT INTO shipments (shipment_id, band, plan, departed_at, delivered_at, created_at) VALUES
    ('S1', 'cryogenic', '{"band": "cryogenic", "upper_c": -150}', '2026-03-02Z', '2026-03-05Z', '2026-03-01Z'),
    ('S2', 'room', '{"band": "room"}', NULL, NULL, '2026-03-01Z');

INSERT INTO device_assignments (device_id, shipment_id, starts_at, ends_at) VALUES
    ('D1', 'S1', '2026-03-01Z', '2026-03-05Z');

INSERT INTO readings (device_id, measured_at, received_at, source, temperature_c, probe_ok) VALUES
    ('D1', '2026-03-02Z', '2026-03-02 00:00:01Z', 'mqtt', -180, true),
    ('D1', '2026-03-03Z', '2026-03-03 00:00:01Z', 'mqtt', -140, true),
    ('D1', '2026-03-04Z', '2026-03-04 00:00:01Z', 'mqtt', -180, true);

INSERT INTO excursions (id, shipment_id, device_id, revision, opened_at, side, start_at, end_at, ended_by, peak_c,
    severity, has_gap, state, reason, recorded_at) VALUES
    ('11111111-1111-1111-1111-111111111111', 'S1', 'D1', 2, '2026-03-03 00:00:02Z', 'high', '2026-03-03Z',
     '2026-03-04Z', 'recovery', -140, 'major', true, 'closed', 'recovered', '2026-03-04 00:00:02Z');

INSERT INTO excursion_revisions (excursion_id, revision, side, start_at, end_at, ended_by, peak_c, severity, has_gap,
    state, reason, recorded_at) VALUES
    ('11111111-1111-1111-1111-111111111111', 1, 'high', '2026-03-03Z', NULL, NULL, -140, 'major', false,
     'open', 'limit_exceeded', '2026-03-03 00:00:02Z'),
    ('11111111-1111-1111-1111-111111111111', 2, 'high', '2026-03-03Z', '2026-03-04Z', 'recovery', -140, 'major', true,
     'closed', 'recovered', '2026-03-04 00:00:02Z');

INSERT INTO alerts (id, shipment_id, subject, kind, severity, state, device_id, excursion_id, message, since, until,
    withdrawn, raised_at, acknowledged_at, acknowledged_by, resolved_at, revision) VALUES
    ('22222222-2222-2222-2222-222222222222', 'S1', 'excursion:1', 'excursion', 'major', 'resolved', 'D1',
     '11111111-1111-1111-1111-111111111111', 'for a day', '2026-03-03Z', '2026-03-04Z', false,
     '2026-03-03 00:00:02Z', '2026-03-03 01:00Z', 'key:dw_1', '2026-03-04 00:00:02Z', 3);

INSERT INTO alert_revisions (alert_id, revision, state, severity, message, "by", reason, recorded_at) VALUES
    ('22222222-2222-2222-2222-222222222222', 1, 'firing', 'major', 'it began', 'rule:excursion',
     'condition_began', '2026-03-03 00:00:02Z'),
    ('22222222-2222-2222-2222-222222222222', 2, 'acknowledged', 'major', 'it began', 'key:dw_1',
     'acknowledged', '2026-03-03 01:00Z'),
    ('22222222-2222-2222-2222-222222222222', 3, 'resolved', 'major', 'for a day', 'rule:excursion',
     'condition_ended', '2026-03-04 00:00:02Z');
