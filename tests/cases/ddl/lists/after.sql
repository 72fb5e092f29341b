CREATE TABLE t (a varchar(20) DEFAULT 'new', b text, n integer, CONSTRAINT known CHECK (a IN ('new', 'it''s: 100%', E'b\\c', NULL)),
    CONSTRAINT other CHECK (a NOT IN ('q', 'r') AND b IN ('q', 'r') AND n IN (1, 2)),
    g boolean GENERATED ALWAYS AS (a IN ('new', 'paid')) STORED, c boolean DEFAULT ('a'::varchar IN ('a', 'b')));
CREATE DOMAIN d AS varchar CONSTRAINT d_one CHECK (VALUE IN ('x', 'z'));
CREATE INDEX i ON t (n) WHERE a IN ('new', 'paid');
CREATE VIEW v AS SELECT a IN ('new', 'paid') AS open, b FROM t WHERE a NOT IN ('x', 'y');
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (a IN ('new', 'paid'));
