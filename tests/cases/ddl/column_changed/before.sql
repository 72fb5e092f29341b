CREATE TYPE a AS ENUM ('x', 'y'); CREATE TYPE b AS ENUM ('x', 'y', 'z');
CREATE TABLE t (id integer, grows varchar(50), nn text, dflt integer DEFAULT 1, gone integer DEFAULT 2, e a DEFAULT 'x',
    v varchar(10) DEFAULT 'x', ident integer NOT NULL, un bigint GENERATED ALWAYS AS IDENTITY, gen integer GENERATED ALWAYS AS (id + 1) STORED, st text, c text);
COMMENT ON COLUMN t.c IS 'old';
