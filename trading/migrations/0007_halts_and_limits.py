"""Halts and risk limits: asked when an order is accepted, and halts again when it is claimed."""

import django.contrib.postgres.fields
from django.db import migrations, models

COUNT = r"""
-- Counts an order of an account, or of a token's subject, unless it would be one too many: then it
-- says which limit is reached. The row is locked until the commit. An account's orders are counted
-- anew from their rows where the limits changed or the day did.
CREATE FUNCTION order_count(
    p_of text, p_name text, p_stamp bigint, p_minute integer, p_day integer
) RETURNS jsonb LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_today date := (v_now AT TIME ZONE 'America/New_York')::date;
    v_midnight timestamptz := v_today::timestamp AT TIME ZONE 'America/New_York';
    v trading_ordercount;
BEGIN
    INSERT INTO trading_ordercount ("of", name, day, orders, recent, stamp)
        VALUES (p_of, p_name, v_today - 1, 0, '{}', -1) ON CONFLICT ("of", name) DO NOTHING;
    SELECT * INTO v FROM trading_ordercount c WHERE c."of" = p_of AND c.name = p_name FOR UPDATE;
    IF p_of = 'account' AND (v.stamp <> p_stamp OR v.day <> v_today) THEN
        SELECT count(*) FILTER (WHERE o.created_at >= v_midnight),
                coalesce(array_agg(o.created_at), '{}')
            INTO v.orders, v.recent FROM trading_order o
            WHERE o.account_id = p_name AND o.source = 'api' AND o.status <> 'denied'
            AND o.created_at >= least(v_midnight, v_now - interval '1 minute');
    ELSIF v.day <> v_today THEN
        v.orders := 0;
    END IF;
    v.recent := ARRAY(SELECT t FROM unnest(v.recent) t WHERE t > v_now - interval '1 minute');
    IF v.orders >= p_day THEN
        RETURN jsonb_build_object('reason', 'risk-orders-per-day', 'of', p_of,
            'limit', p_day, 'used', v.orders);
    ELSIF cardinality(v.recent) >= p_minute THEN
        RETURN jsonb_build_object('reason', 'risk-orders-per-minute', 'of', p_of,
            'limit', p_minute, 'used', cardinality(v.recent));
    END IF;
    UPDATE trading_ordercount c SET day = v_today, orders = v.orders + 1, stamp = p_stamp,
        recent = CASE WHEN p_minute IS NULL THEN '{}' ELSE v.recent || v_now END
        WHERE c."of" = p_of AND c.name = p_name;
    RETURN NULL;
END $$;
"""

CHECK = r"""
-- Why an order may not be accepted, as `reason` with its figures; null: it may. The caller holds
-- the head of the account's journal, so that nobody else's order of it comes between.
-- 1. The limits it was judged by (trading/risk.py) must be those of now, else `limits`: judge anew.
-- 2. No halt may stand over its account or symbol.
-- 3. It must not be one that came a moment ago. 4. It must not be one too many: the only step that
--    writes, and the last.
CREATE FUNCTION order_check(
    p_account text, p_subject text, p_symbol text, p_stamp bigint, p_counted jsonb
) RETURNS jsonb LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_halt jsonb;
    a record;
    v_denial jsonb;
BEGIN
    IF p_stamp <> (SELECT coalesce(sum(l.version), 0) FROM accounts_limits l
                   WHERE l.account_id IN (p_account, '*')) THEN
        RETURN '{"reason": "limits"}';
    END IF;
    IF p_symbol IS NOT NULL THEN
        SELECT jsonb_build_object('reason', 'halted', 'scope', h.scope, 'symbol', h.symbol)
            INTO v_halt FROM accounts_halt h
            WHERE h.lifted_at IS NULL AND h.mode = 'halt'
            AND (h.account_id IS NULL OR h.account_id = p_account)
            AND (h.symbol IS NULL OR h.symbol = p_symbol)
            ORDER BY h.set_at LIMIT 1;
        IF FOUND THEN
            RETURN v_halt;
        END IF;
    END IF;
    IF p_counted IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO a FROM jsonb_to_record(p_counted) AS t(side text, qty numeric,
        notional numeric, limit_price numeric, stop_price numeric, trail_price numeric,
        trail_percent numeric, duplicate_seconds integer, per_minute integer, per_day integer,
        subject_per_day integer);
    IF a.duplicate_seconds IS NOT NULL AND EXISTS (
            SELECT 1 FROM trading_order o WHERE o.account_id = p_account
            AND o.created_at > clock_timestamp() - a.duplicate_seconds * interval '1 second'
            AND o.symbol = p_symbol AND o.side = a.side
            AND o.qty IS NOT DISTINCT FROM a.qty AND o.notional IS NOT DISTINCT FROM a.notional
            AND o.limit_price IS NOT DISTINCT FROM a.limit_price
            AND o.stop_price IS NOT DISTINCT FROM a.stop_price
            AND o.trail_price IS NOT DISTINCT FROM a.trail_price
            AND o.trail_percent IS NOT DISTINCT FROM a.trail_percent
            AND o.source = 'api' AND o.status NOT IN ('denied', 'lapsed', 'rejected')
            AND o.reason IS DISTINCT FROM 'canceled-before-send') THEN
        RETURN jsonb_build_object('reason', 'risk-duplicate', 'limit', a.duplicate_seconds);
    END IF;
    IF a.per_minute IS NOT NULL OR a.per_day IS NOT NULL THEN
        v_denial := order_count('account', p_account, p_stamp, a.per_minute, a.per_day);
    END IF;
    IF v_denial IS NULL AND a.subject_per_day IS NOT NULL THEN
        v_denial := order_count('subject', p_subject, 0, NULL, a.subject_per_day);
    END IF;
    RETURN v_denial;
END $$;
"""

ACCEPT = r"""
-- 1. Lock the account's head: every acceptance of an account is serial from here to the commit,
--    so that the look-ups below see every earlier one.
-- 2. The same key, or the same client_order_id, has an order already: return its accepting entry.
-- 3. Where it is judged (p_stamp is given) and may not come: `denial` says why, nothing is stored.
-- 4. Append the entry, and store the order it describes.
CREATE FUNCTION order_accept(
    p_account text, p_subject text, p_key text, p_client_order_id text, p_order uuid,
    p_kind text, p_body text, p_private jsonb,
    p_symbol text DEFAULT NULL, p_stamp bigint DEFAULT NULL, p_counted jsonb DEFAULT NULL,
    OUT found_by text, OUT order_id uuid, OUT seq bigint, OUT recorded_at timestamptz,
    OUT body text, OUT fingerprint text, OUT status text, OUT denial jsonb
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM journal_lock(p_account);
    IF p_key IS NOT NULL THEN
        SELECT 'key', o.id, o.fingerprint, o.status INTO found_by, order_id, fingerprint, status
            FROM trading_order o WHERE o.account_id = p_account
            AND o.subject = p_subject AND o.idempotency_key = p_key;
    END IF;
    IF found_by IS NULL THEN
        SELECT 'client_order_id', o.id, o.fingerprint, o.status
            INTO found_by, order_id, fingerprint, status
            FROM trading_order o
            WHERE o.account_id = p_account AND o.client_order_id = p_client_order_id;
    END IF;
    IF found_by IS NOT NULL THEN
        SELECT e.seq, e.recorded_at, e.body INTO seq, recorded_at, body
            FROM accounts_journalentry e WHERE e.order_id = order_accept.order_id
            ORDER BY e.seq LIMIT 1;
        RETURN;
    END IF;
    -- Mostly nothing is limited or halted: one look, and none further.
    IF p_stamp IS NOT NULL AND (p_counted IS NOT NULL
            OR p_stamp <> (SELECT coalesce(sum(l.version), 0) FROM accounts_limits l
                           WHERE l.account_id IN (p_account, '*'))
            OR EXISTS (SELECT 1 FROM accounts_halt h WHERE h.lifted_at IS NULL)) THEN
        denial := order_check(p_account, p_subject, p_symbol, p_stamp, p_counted);
        IF denial IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    order_id := p_order;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(p_account, p_kind, p_body, p_order) a;
    INSERT INTO trading_order SELECT r.* FROM jsonb_populate_record(NULL::trading_order,
        (p_body::jsonb -> 'after') || p_private
        || jsonb_build_object('seq', seq, 'updated_at', recorded_at)) r;
END $$;
"""

CLAIM = r"""
-- design.md §4: READ COMMITTED, each statement with its own snapshot. orders_write holds the lock
-- that a halt of everything waits for, and the head of the account's journal: who suspends or halts
-- the account appends to it. So a claim commits before that is confirmed, or sees it.
-- 1. Lock the order if it may still be sent: queued, unchanged since the desk read it, in time,
--    not asked to be cancelled, its account leased by this desk, not suspended, on the roster.
-- 2. Where any halt stands (p_halts), none may stand over it: `held` is the strictest that does.
--    Under `reduce_only` it may go if it was found to reduce (trading/halts.py), which holds until
--    p_reduces_until.
-- 3. Append the entry.
-- 4. Change the row, and write the attempt: only now may a byte leave (law 4).
CREATE FUNCTION order_claim(
    p_order uuid, p_expected_seq bigint, p_owner text, p_process text, p_body text,
    p_halts boolean, p_reduces_until timestamptz,
    OUT seq bigint, OUT recorded_at timestamptz, OUT attempt integer, OUT held text
) LANGUAGE plpgsql AS $$
DECLARE
    v_account text;
    v_symbol text;
    v_attempt integer;
BEGIN
    SELECT o.account_id, o.symbol, o.attempts + 1 INTO v_account, v_symbol, v_attempt
        FROM trading_order o JOIN accounts_account a ON a.account_id = o.account_id
        WHERE o.id = p_order AND o.seq = p_expected_seq AND o.status = 'queued'
        AND o.not_after > clock_timestamp() AND o.cancel_requested_at IS NULL
        AND a.suspended_at IS NULL AND NOT a.closing
        AND EXISTS (SELECT 1 FROM accounts_lease l WHERE l.account_id = o.account_id
                    AND l.owner = p_owner AND l.expires_at > clock_timestamp())
        FOR UPDATE OF o;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_halts THEN
        -- `halt` comes before `reduce_only`.
        SELECT min(h.mode) INTO held FROM accounts_halt h WHERE h.lifted_at IS NULL
            AND (h.account_id IS NULL OR h.account_id = v_account)
            AND (h.symbol IS NULL OR h.symbol = v_symbol);
        IF held = 'reduce_only' AND p_reduces_until > clock_timestamp() THEN
            held := NULL;
        END IF;
        IF held IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    attempt := v_attempt;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(v_account, 'order.submitting', p_body, p_order) a;
    UPDATE trading_order o SET status = 'submitting', attempts = attempt,
        seq = order_claim.seq, updated_at = order_claim.recorded_at WHERE o.id = p_order;
    INSERT INTO trading_attempt (order_id, n, kind, process, sent_at)
        VALUES (p_order, attempt, 'submit', p_process, recorded_at);
END $$;
"""

WRITE = r"""
-- Each element of p_writes is one claim (it has an owner), one change, or the end of an attempt
-- alone (it has no kind); the answers come in its order (n).
-- Locks are taken in one order by everybody, or two writers could wait for each other: where there
-- are claims, first that of the halts, shared; then the orders, by id; then the heads of their
-- journals, by account. Only then is looked whether any halt stands: who sets one over these
-- accounts waits for one of the locks.
-- Everything here is found by a key; a plan made while a table was small must not stay a scan.
CREATE OR REPLACE FUNCTION orders_write(p_writes json)
RETURNS TABLE (n integer, outcome text, seq bigint, recorded_at timestamptz, attempt integer)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    w record;
    v_orders uuid[];
    v_claims boolean;
    v_halts boolean;
    v_held text;
BEGIN
    SELECT array_agg((e ->> 'order_id')::uuid), bool_or(e ->> 'owner' IS NOT NULL)
        INTO v_orders, v_claims FROM json_array_elements(p_writes) e;
    IF v_claims THEN
        PERFORM pg_advisory_xact_lock_shared(hashtext('opitios halts'));
    END IF;
    PERFORM journal_lock(l.account_id) FROM (SELECT DISTINCT t.account_id FROM (
        SELECT o.account_id FROM trading_order o WHERE o.id = ANY(v_orders)
        ORDER BY o.id FOR UPDATE) t ORDER BY t.account_id) l;
    v_halts := v_claims AND EXISTS (SELECT 1 FROM accounts_halt h WHERE h.lifted_at IS NULL);
    FOR w IN SELECT * FROM ROWS FROM (json_to_recordset(p_writes) AS (
            order_id uuid, expected bigint, owner text, process text, reduces_until timestamptz,
            kind text, body text, patch jsonb, fill jsonb, ended jsonb)) WITH ORDINALITY LOOP
        n := w.ordinality;
        outcome := NULL; seq := NULL; recorded_at := NULL; attempt := NULL;
        IF w.owner IS NOT NULL THEN
            SELECT c.seq, c.recorded_at, c.attempt, c.held
                INTO seq, recorded_at, attempt, v_held FROM order_claim(
                    w.order_id, w.expected, w.owner, w.process, w.body, v_halts,
                    w.reduces_until) c;
            outcome := CASE WHEN seq IS NOT NULL THEN 'changed' ELSE coalesce(v_held, 'stale') END;
        ELSIF w.kind IS NOT NULL THEN
            SELECT c.outcome, c.seq, c.recorded_at INTO outcome, seq, recorded_at
                FROM order_change(w.order_id, w.expected, w.kind, w.body, w.patch, w.fill) c;
        END IF;
        IF w.ended IS NOT NULL AND outcome IS DISTINCT FROM 'stale' THEN
            UPDATE trading_attempt a SET outcome = e.outcome, ms = e.ms,
                http_status = e.http_status, broker_request_id = e.request_id
                FROM jsonb_to_record(w.ended) AS e(n integer, outcome text, ms float8,
                    http_status smallint, request_id text)
                WHERE a.order_id = w.order_id AND a.kind = 'submit' AND a.n = e.n;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('trading', '0006_writes'),
        ('accounts', '0008_halts_and_limits'),
    ]

    operations = [
        migrations.CreateModel(
            name='OrderCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(choices=[('account', 'Account'), ('subject', 'Subject')], max_length=8)),
                ('name', models.CharField(max_length=128)),
                ('day', models.DateField()),
                ('orders', models.PositiveIntegerField()),
                ('recent', django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), size=None)),
                ('stamp', models.BigIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('of', 'name'), name='one_count_of_each')],
            },
        ),
        migrations.RunSQL("DROP FUNCTION order_accept(text, text, text, text, uuid, text, text, jsonb)"),
        migrations.RunSQL(COUNT),
        migrations.RunSQL(CHECK),
        migrations.RunSQL(ACCEPT),
        migrations.RunSQL("DROP FUNCTION order_claim(uuid, bigint, text, text, text)"),
        migrations.RunSQL(CLAIM),
        migrations.RunSQL(WRITE),
    ]
