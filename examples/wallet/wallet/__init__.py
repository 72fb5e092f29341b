"""A wallet backend: accounts, custodial wallets, swaps, a ledger, and trading with vouchers."""
