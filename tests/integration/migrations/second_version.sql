-- As the second version left it: a shipment with all of its schedule after two steps, one with none, and dewars.

INSERT INTO dewars (dewar_id, last_charged_at, created_at) VALUES
    ('W1', '2026-03-01Z', '2026-03-01 12:00Z'),
    ('W2', NULL, '2026-03-01 12:00Z');

INSERT INTO shipments (shipment_id, band, plan, dewar_id, origin, destination, legs, planned_departure, planned_arrival,
    packed_out_at, use_by, departed_at, created_at) VALUES
    ('S1', 'cryogenic', '{"band": "cryogenic"}', 'W1', 'FRA', 'JFK', '[{"from": "FRA", "to": "JFK"}]', '2026-03-02Z',
     '2026-03-03Z', '2026-03-01Z', '2026-03-10Z', '2026-03-02Z', '2026-03-01Z'),
    ('S2', 'room', '{"band": "room"}', NULL, NULL, NULL, '[]', NULL, NULL, NULL, NULL, NULL, '2026-03-01Z');

INSERT INTO shipment_revisions (shipment_id, revision, recorded_at, step, "by", plan, plan_revision, devices) VALUES
    ('S1', 1, '2026-03-01Z', 'created', 'key:dw_1', '{"band": "cryogenic"}', 1, '[]'),
    ('S1', 2, '2026-03-02Z', 'departed', 'key:dw_1', '{"band": "cryogenic"}', 1, '[]'),
    ('S2', 1, '2026-03-01Z', 'created', 'key:dw_1', '{"band": "room"}', 1, '[]');
