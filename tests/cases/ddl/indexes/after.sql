CREATE TABLE t (a integer, b text, c jsonb);
CREATE UNIQUE INDEX i1 ON t (a); CREATE INDEX i2 ON t (lower(b) text_pattern_ops, a DESC NULLS LAST) INCLUDE (c);
CREATE INDEX i3 ON t USING gin (c jsonb_path_ops) WHERE b <> 'a%b'; CREATE INDEX i4 ON t USING hash (a) WITH (fillfactor = 70);
