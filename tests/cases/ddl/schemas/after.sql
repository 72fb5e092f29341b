CREATE SCHEMA "New Schema"; CREATE TABLE "New Schema"."Order" (id serial PRIMARY KEY, "group" text, parent integer REFERENCES "New Schema"."Order");
CREATE INDEX "IX" ON "New Schema"."Order" ("group"); CREATE STATISTICS "New Schema".st ON id, parent FROM "New Schema"."Order"; COMMENT ON SCHEMA "New Schema" IS 'n';
CREATE RULE r AS ON DELETE TO "New Schema"."Order" DO INSTEAD NOTHING; CREATE EXTENSION IF NOT EXISTS plpgsql;
