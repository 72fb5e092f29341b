CREATE TABLE t (a varchar(20) DEFAULT 'new', b text, n integer, CONSTRAINT known CHECK (a IN ('new', 'paid')));
CREATE DOMAIN d AS varchar CONSTRAINT d_one CHECK (VALUE IN ('x', 'y'));
CREATE INDEX i ON t (n);
