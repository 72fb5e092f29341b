CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN d AS integer NOT NULL CONSTRAINT d2 CHECK (VALUE > 1);
CREATE TYPE f AS ENUM ('a:b', 'c%d', 'e'); CREATE TYPE pair AS (a integer, "B" varchar(5));
CREATE TYPE rg AS RANGE (SUBTYPE = float8); CREATE DOMAIN dom AS text DEFAULT 'x' NOT NULL CHECK (VALUE <> '') CHECK (length(VALUE) < 9);
CREATE TABLE uses (p pair, r rg, d dom, f f[]); COMMENT ON TYPE f IS 'letters'; COMMENT ON DOMAIN dom IS 'd';
