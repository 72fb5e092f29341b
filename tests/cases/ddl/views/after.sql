CREATE TABLE t (id integer, name text);
CREATE VIEW v AS SELECT name, id, name || '100%' AS more FROM t WHERE id > 1;
CREATE VIEW a_first AS SELECT z.id FROM (SELECT id FROM v) z;
CREATE MATERIALIZED VIEW m AS SELECT id, count(*) AS n FROM t GROUP BY id;
CREATE UNIQUE INDEX ix_m ON m (id); CREATE VIEW on_m WITH (security_barrier = true) AS SELECT * FROM m;
COMMENT ON VIEW a_first IS 'first'; COMMENT ON MATERIALIZED VIEW m IS 'mm';
