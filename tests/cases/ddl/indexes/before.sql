CREATE TABLE t (a integer, b text, c jsonb); CREATE INDEX i1 ON t (a); CREATE INDEX i9 ON t (b);
