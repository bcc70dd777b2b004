-- As it was before loans: loggers and dewars that were used by whoever named them, and charges of whoever told of them.

INSERT INTO organizations (slug) VALUES ('acme'), ('bcell');

INSERT INTO api_keys (id, prefix, hash, role, organization, shipment_ids, created_by) VALUES
    (gen_random_uuid(), 'dw_a', 'a', 'ops', 'acme', NULL, 'x'),
    (gen_random_uuid(), 'dw_b', 'b', 'ops', 'bcell', NULL, 'x'),
    (gen_random_uuid(), 'dw_courier', 'c', 'courier', NULL, '{B1}', 'x'),
    (gen_random_uuid(), 'dw_ops', 'd', 'ops', NULL, NULL, 'x');

INSERT INTO dewars (dewar_id) VALUES ('W1'), ('W2'), ('W3');
INSERT INTO devices (device_id) VALUES ('L1'), ('L2'), ('L3'), ('L4');
INSERT INTO device_states (device_id) VALUES ('L1'), ('L2'), ('L3'), ('L4');

INSERT INTO shipments (shipment_id, organization, band, plan, dewar_id, created_at, packed_out_at, departed_at, delivered_at,
    cancelled_at) VALUES
    ('A1', 'acme', 'room', '{}', 'W1', '2026-03-02Z', NULL, NULL, NULL, NULL),
    ('A2', 'acme', 'room', '{}', 'W1', '2026-03-02Z', NULL, '2026-03-06Z', NULL, NULL),
    ('A3', 'acme', 'room', '{}', 'W3', '2026-03-02Z', NULL, NULL, NULL, '2026-03-03Z'),
    ('B1', 'bcell', 'room', '{}', 'W1', '2026-03-05Z', '2026-03-04Z', '2026-03-05Z', NULL, NULL),
    ('B2', 'bcell', 'room', '{}', 'W2', '2026-03-02Z', NULL, '2026-03-03Z', '2026-03-05Z', NULL),
    ('B3', 'acme', 'room', '{}', 'W2', '2026-03-02Z', NULL, '2026-03-04Z', '2026-03-07Z', NULL),
    ('N1', NULL, 'room', '{}', NULL, '2026-03-08Z', NULL, NULL, NULL, NULL);

INSERT INTO device_assignments (device_id, shipment_id, starts_at, ends_at) VALUES
    ('L1', 'B1', '2026-03-04Z', NULL),
    ('L2', 'B2', '2026-03-02Z', '2026-03-05Z'),
    ('L2', 'B3', '2026-03-05Z', '2026-03-07Z'),
    ('L2', 'A3', '2026-03-08Z', '2026-03-08Z'),
    ('L3', 'N1', '2026-03-08Z', NULL);

INSERT INTO dewar_charges (dewar_id, charged_at, "by") VALUES
    ('W1', '2026-03-05 01:00Z', 'key:dw_b'),
    ('W1', '2026-03-05 02:00Z', 'key:dw_a'),
    ('W1', '2026-03-05 03:00Z', 'key:dw_courier'),
    ('W1', '2026-03-05 04:00Z', 'key:dw_ops');
