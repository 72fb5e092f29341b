CREATE TABLE t (id integer, state varchar(20) CHECK (state IN ('new', 'it''s', 'a]b', 'c, d')), kind varchar(5) CHECK (kind NOT IN ('x')),
    flag boolean GENERATED ALWAYS AS (state IN ('new', 'old')) STORED, fixed char(3) CHECK (fixed IN ('a', 'b')), n numeric CHECK (n IN (1, 2.5)),
    word text CHECK (word IN ('p', 'q')), "Odd" varchar CHECK ("Odd" = ANY (ARRAY['r', 's'])));
ALTER TABLE t ADD CONSTRAINT other CHECK (state IN ('a', 'c') OR id BETWEEN 1 AND 5);
CREATE INDEX ix_open ON t (id) WHERE state IN ('new', 'old');
CREATE VIEW v AS SELECT id FROM t WHERE state IN ('new', 'old') AND upper(state) NOT IN ('X', 'Y');
CREATE MATERIALIZED VIEW m AS SELECT CASE WHEN state IN ('new', 'old') THEN 1 END AS one FROM t;
CREATE POLICY p ON t USING (state IN ('new', 'old'));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.state IN ('new', 'old')) EXECUTE FUNCTION touch();
