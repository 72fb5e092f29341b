-- Rows for the tables of add_ledger_portfolio_models: the ledger starts with the last three tenths
-- of the transactions. Parameters: transactions (number of rows).
INSERT INTO ledger_entries (transaction_id, account_id, direction, amount, posted_at)
SELECT id, account_id,
       CASE WHEN amount < 0 THEN 'DEBIT' ELSE 'CREDIT' END::ledger_direction,
       abs(amount), created_at
FROM transactions
WHERE id > %(transactions)s::bigint * 7 / 10 AND status <> 'FAILED'
ORDER BY id;

INSERT INTO portfolios (user_id, currency_id, quantity, cost)
SELECT user_id, currency_id, balance, round(balance * 150, 2)
FROM accounts
WHERE currency_id = 2 AND balance > 0
ORDER BY id;
