"""Custodial wallet, currency and swap models.

The first release: users hold one account per currency, the custodian keeps one wallet per user
and network, and every movement of money is a row of ``transactions``.

Revision ID: 1d661194d41e
Revises:
Create Date: 2025-02-03 09:12:44.118302

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "1d661194d41e"
down_revision = None
branch_labels = None
depends_on = None

TOUCHED_TABLES = ("users", "accounts", "transactions")


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at = now();
            RETURN NEW;
        END
        $$
        """
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("full_name", sa.String(length=200), nullable=False),
        sa.Column("country_code", sa.CHAR(length=2), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        comment="People who hold money with us",
    )
    op.create_table(
        "currencies",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("code", sa.String(length=10), nullable=False, comment="ISO 4217 or ticker"),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("decimals", sa.SmallInteger(), nullable=False, comment="Digits after the point"),
        sa.Column("is_crypto", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code", name=op.f("uq_currencies_code")),
        sa.CheckConstraint("decimals BETWEEN 0 AND 18", name=op.f("ck_currencies_decimals")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("currency_id", sa.Integer(), nullable=False),
        sa.Column(
            "account_type",
            sa.Enum("FIAT", "CRYPTO", name="account_type"),
            nullable=False,
        ),
        sa.Column(
            "balance",
            sa.Numeric(precision=36, scale=18),
            server_default=sa.text("0"),
            nullable=False,
            comment="Cached; the ledger is the truth",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_accounts_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["currency_id"], ["currencies.id"], name=op.f("fk_accounts_currency_id_currencies")
        ),
        sa.UniqueConstraint("user_id", "currency_id", name=op.f("uq_accounts_user_currency")),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_accounts_balance")),
    )
    op.create_table(
        "custodial_wallets",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("network", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column(
            "key_reference",
            sa.String(length=120),
            nullable=False,
            comment="Where the custodian's vault keeps the key; never the key",
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_custodial_wallets_user_id_users")
        ),
        sa.UniqueConstraint("network", "address", name=op.f("uq_custodial_wallets_address")),
    )
    op.create_index(
        "ix_custodial_wallets_active",
        "custodial_wallets",
        ["user_id", "network"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "swaps",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("from_account_id", sa.BigInteger(), nullable=False),
        sa.Column("to_account_id", sa.BigInteger(), nullable=False),
        sa.Column("from_amount", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column("to_amount", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column("rate", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column(
            "status",
            sa.Enum("QUOTED", "EXECUTED", "EXPIRED", name="swap_status"),
            server_default="QUOTED",
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["from_account_id"], ["accounts.id"], name=op.f("fk_swaps_from_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["to_account_id"], ["accounts.id"], name=op.f("fk_swaps_to_account_id_accounts")
        ),
        sa.CheckConstraint("from_account_id <> to_account_id", name=op.f("ck_swaps_accounts")),
        sa.CheckConstraint("from_amount > 0 AND to_amount > 0", name=op.f("ck_swaps_amounts")),
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("swap_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "transaction_type",
            sa.Enum(
                "DEPOSIT",
                "WITHDRAWAL",
                "SWAP",
                "TRADE",
                "VOUCHER",
                name="transaction_type",
            ),
            nullable=False,
        ),
        sa.Column("amount", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column(
            "reference_id",
            sa.String(length=64),
            nullable=True,
            comment="The other side's number: TRD-… of a trade, VCH-… of a voucher",
        ),
        sa.Column(
            "blockchain_txid", sa.String(length=128), nullable=True, comment="Chain signature"
        ),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_transactions_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["swap_id"], ["swaps.id"], name=op.f("fk_transactions_swap_id_swaps")
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_transactions_amount")),
    )
    op.create_index(
        op.f("ix_transactions_account_id_created_at"), "transactions", ["account_id", "created_at"]
    )
    for table in TOUCHED_TABLES:
        op.execute(
            f"CREATE TRIGGER trg_{table}_updated_at BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION set_updated_at()"
        )


def downgrade() -> None:
    for table in (
        "transactions",
        "swaps",
        "custodial_wallets",
        "accounts",
        "currencies",
        "users",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION set_updated_at()")
    for name in ("transaction_type", "swap_status", "account_type"):
        op.execute(f"DROP TYPE {name}")
