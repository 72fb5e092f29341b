"""The application's own checks: ``python -m wallet.checks database|finality|trading``.

Each prints one line and exits 0 when good, 1 when not. What a check writes, it rolls back.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from wallet.database import engine
from wallet.finality import check_finality, pending_sol_transactions
from wallet.models import Account, Currency, Trade, Transaction, User, Voucher, VoucherStatus
from wallet.trading import TradingError, TradingService


class CheckFailed(Exception):
    """A check ran and did not find what it needs."""


def database(session: Session) -> str:
    """The database answers, and the application's main tables can be read."""
    if session.scalar(text("SELECT 1")) != 1:
        raise CheckFailed("the database does not answer a query")
    users = session.scalar(select(func.count()).select_from(User))
    accounts = session.scalar(select(func.count()).select_from(Account))
    return f"connected; {users} users, {accounts} accounts"


def finality(session: Session) -> str:
    """The SOL finality checker finds its transactions and their trades."""
    slots = [item.slot for item in pending_sol_transactions(session) if item.slot is not None]
    found = check_finality(session, current_slot=max(slots, default=0) + 100)
    if found.finalized != len(slots):
        raise CheckFailed(f"{len(slots)} transactions are final, {found.finalized} were marked")
    return (
        f"{found.pending} pending SOL transactions, {found.finalized} final by now, "
        f"{found.trades_waiting} trades waiting"
    )


def trading(session: Session) -> str:
    """A trade can be opened, paid with a voucher (once only) and settled."""
    service = TradingService(session)
    user, currency, voucher = _trader(session)
    trade = service.open_trade(user, currency, Decimal("0.5"), Decimal("120"))
    service.pay_with_voucher(trade, voucher.code)
    _require_refused(service, user, currency, voucher)
    transaction = service.settle(trade)
    session.expire_all()
    booked = session.scalar(
        select(Transaction)
        .join(Trade, Transaction.trade_id == Trade.id)
        .where(Trade.reference == trade.reference)
    )
    if booked is None or booked.id != transaction.id:
        raise CheckFailed("the settled trade's transaction cannot be found through trade_id")
    if voucher.status is not VoucherStatus.REDEEMED or voucher.trade_id != trade.id:
        raise CheckFailed("the voucher was not redeemed for the trade")
    return "a trade was opened, paid with a voucher and settled (rolled back)"


def _trader(session: Session) -> tuple[User, Currency, Voucher]:
    mark = uuid.uuid4().hex
    user = User(email=f"check-{mark}@example.org", full_name="Trading check", country_code="UG")
    currencies = [
        session.scalar(select(Currency).where(Currency.code == code))
        or Currency(code=code, name=code, decimals=decimals, is_crypto=code == "SOL")
        for code, decimals in (("SOL", 9), ("USD", 2))
    ]
    session.add_all([user, *currencies])
    session.flush()
    voucher = Voucher(
        code=f"VCH-{mark[:20].upper()}",
        currency_id=currencies[1].id,
        amount=Decimal("100.00"),
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    session.add(voucher)
    session.flush()
    session.refresh(voucher)
    return user, currencies[0], voucher


def _require_refused(
    service: TradingService, user: User, currency: Currency, voucher: Voucher
) -> None:
    second = service.open_trade(user, currency, Decimal("0.1"), Decimal("120"))
    try:
        service.pay_with_voucher(second, voucher.code)
    except TradingError:
        return
    raise CheckFailed("a voucher could be used twice")


CHECKS: dict[str, tuple[str, Callable[[Session], str]]] = {
    "database": ("database connection", database),
    "finality": ("SOL finality checker", finality),
    "trading": ("trading", trading),
}


def run(name: str) -> int:
    """Run one check, print its line, and return its exit code."""
    title, check = CHECKS[name]
    try:
        with Session(engine()) as session, session.begin() as transaction:
            line = check(session)
            transaction.rollback()
    except CheckFailed as failure:
        print(f"{title}: FAILED: {failure}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"{title}: CRASHED: {_first_line(error)}", file=sys.stderr)
        return 1
    print(f"{title}: ok: {line}")
    return 0


def _first_line(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0]


def main(arguments: list[str]) -> int:
    """Run the named check. Returns 2 when there is no such check."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        print(f"usage: python -m wallet.checks {'|'.join(CHECKS)}", file=sys.stderr)
        return 2
    return run(arguments[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
