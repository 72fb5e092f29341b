-- Rows for the state of 23e791c49f3a. Nothing is random and nothing reads the clock, so that two
-- builds are equal to the last digit. Parameters: users, transactions (numbers of rows).
INSERT INTO currencies (code, name, decimals, is_crypto) VALUES
    ('USD', 'US dollar', 2, false),
    ('SOL', 'Solana', 9, true),
    ('USDC', 'USD Coin', 6, true),
    ('BTC', 'Bitcoin', 8, true),
    ('UGX', 'Ugandan shilling', 0, false),
    ('KES', 'Kenyan shilling', 2, false);

INSERT INTO users (email, full_name, country_code, is_active, created_at, updated_at)
SELECT lower(first || '.' || last || n || '@example.org'), first || ' ' || last,
       (ARRAY['UG', 'KE', 'TZ', 'RW', 'DE'])[1 + mod(n, 5)], mod(n, 50) <> 0, joined, joined
FROM (
    SELECT n,
           (ARRAY['Amina', 'Brian', 'Chen', 'Divya', 'Esther', 'Farid', 'Grace', 'Hassan', 'Irene',
                  'Joseph', 'Kwame', 'Lena', 'Moses'])[1 + mod(n, 13)] AS first,
           (ARRAY['Okello', 'Nakato', 'Mwangi', 'Weber', 'Achieng', 'Singh', 'Haile', 'Mugisha',
                  'Otieno', 'Rossi', 'Tembo'])[1 + mod(n, 11)] AS last,
           timestamptz '2025-02-03 06:00:00+00' + n * interval '47 minutes' AS joined
    FROM generate_series(1, %(users)s::integer) AS n
) AS people
ORDER BY n;

-- Three accounts a user, in this order: USD, SOL, USDC.
INSERT INTO accounts (user_id, currency_id, account_type, balance, created_at, updated_at)
SELECT users.id, currencies.id,
       CASE WHEN is_crypto THEN 'CRYPTO' ELSE 'FIAT' END::account_type,
       round(mod(users.id * 7919 + currencies.id * 104729, 500000) / 100.0, 2),
       users.created_at, users.created_at
FROM users CROSS JOIN currencies
WHERE currencies.id <= 3
ORDER BY users.id, currencies.id;

INSERT INTO custodial_wallets (user_id, network, address, key_reference, is_active, created_at)
SELECT id, 'solana', left(md5('address' || id) || md5('more' || id), 44),
       'vault/solana/' || lpad(id::text, 8, '0'), true, created_at
FROM users ORDER BY id;

-- Wallets that were replaced: several inactive ones a user are right.
INSERT INTO custodial_wallets (user_id, network, address, key_reference, is_active, created_at)
SELECT id, 'solana', left(md5('retired' || id) || md5('more' || id), 44),
       'vault/solana/retired/' || lpad(id::text, 8, '0'), false, created_at
FROM users WHERE mod(id, 10) = 0 ORDER BY id;

INSERT INTO swaps (from_account_id, to_account_id, from_amount, to_amount, rate, status, created_at)
SELECT (id - 1) * 3 + 1, (id - 1) * 3 + 2, 60 + mod(id, 400), round((60 + mod(id, 400)) / 150.0, 9),
       150, (ARRAY['EXECUTED', 'EXECUTED', 'EXECUTED', 'EXPIRED', 'QUOTED'])[
           1 + mod(id + round, 5)]::swap_status,
       created_at + round * interval '9 days'
FROM users CROSS JOIN generate_series(1, 2) AS round
ORDER BY round, id;

-- Of 20 transactions 8 are deposits, 4 withdrawals, 2 swaps, 3 trades and 3 vouchers. Trades and
-- vouchers carry the number of the other side in reference_id. The youngest are not final yet.
INSERT INTO transactions (account_id, swap_id, transaction_type, amount, reference_id,
    blockchain_txid, details, created_at, updated_at, status, confirmations, slot, finalized_at)
SELECT account_id, swap_id, kind, amount,
       CASE kind
           WHEN 'TRADE' THEN 'TRD-2025-' || lpad(n::text, 8, '0')
           WHEN 'VOUCHER' THEN 'VCH-' || upper(substr(md5('voucher' || n), 1, 12)) || '-' || n
           WHEN 'DEPOSIT' THEN 'DEP-' || lpad(n::text, 10, '0')
       END,
       CASE WHEN on_chain THEN md5('signature' || n) || md5('chain' || n) END,
       CASE kind
           WHEN 'VOUCHER' THEN jsonb_build_object('channel', 'voucher', 'batch', n / 500)
           WHEN 'WITHDRAWAL' THEN jsonb_build_object('channel', 'mobile money')
       END,
       moment, moment, status, CASE WHEN on_chain AND status = 'FINALIZED' THEN 32 ELSE 0 END,
       CASE WHEN on_chain THEN 318000000 + n END,
       CASE WHEN status = 'FINALIZED' THEN moment + interval '13 seconds' END
FROM (
    SELECT n, moment, swap_id, kind, account_id,
           CASE WHEN kind = 'WITHDRAWAL' THEN -1 ELSE 1 END
               * (mod(n * 104729, 999983) + 1) / 1000.0 AS amount,
           kind IN ('DEPOSIT', 'WITHDRAWAL') AND mod(account_id, 3) = 2 AS on_chain,
           CASE
               WHEN mod(n, 911) = 0 THEN 'FAILED'
               WHEN n <= %(transactions)s::bigint * 199 / 200 THEN 'FINALIZED'
               WHEN mod(n, 2) = 0 THEN 'PENDING'
               ELSE 'CONFIRMED'
           END::transaction_status AS status
    FROM (
        SELECT n, kind,
               timestamptz '2025-02-04 08:00:00+00'
                   + n * (interval '120 days' / %(transactions)s::bigint) AS moment,
               CASE WHEN kind = 'SWAP' THEN 1 + mod(n, 2 * users) END AS swap_id,
               CASE WHEN kind = 'SWAP' THEN mod(n, users) * 3 + 1
                    ELSE 1 + mod(n * 7919, users * 3) END AS account_id
        FROM (
            SELECT n, %(users)s::bigint AS users,
                   (ARRAY['DEPOSIT', 'TRADE', 'DEPOSIT', 'VOUCHER', 'WITHDRAWAL', 'DEPOSIT',
                          'SWAP', 'DEPOSIT', 'WITHDRAWAL', 'TRADE', 'DEPOSIT', 'VOUCHER',
                          'DEPOSIT', 'WITHDRAWAL', 'TRADE', 'SWAP', 'DEPOSIT', 'VOUCHER',
                          'WITHDRAWAL', 'DEPOSIT'])[1 + mod(n, 20)]::transaction_type AS kind
            FROM generate_series(1, %(transactions)s::bigint) AS n
        ) AS numbered
    ) AS typed
) AS valued
ORDER BY n;
