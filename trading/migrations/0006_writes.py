"""Many writes of orders in one transaction and one round trip (docs/adr/0011)."""

from django.db import migrations

CLAIM = r"""
-- design.md §4: READ COMMITTED, each statement with its own snapshot. orders_write holds the head of
-- the account's journal already: who suspends an account appends to it, so a claim commits before
-- that is confirmed, or sees it.
-- 1. Lock the order if it may still be sent: queued, unchanged since the desk read it, in time,
--    not asked to be cancelled, its account leased by this desk, not suspended, on the roster.
-- 2. Append the entry.
-- 3. Change the row, and write the attempt: only now may a byte leave (law 4).
CREATE OR REPLACE FUNCTION order_claim(
    p_order uuid, p_expected_seq bigint, p_owner text, p_process text, p_body text,
    OUT seq bigint, OUT recorded_at timestamptz, OUT attempt integer
) LANGUAGE plpgsql AS $$
DECLARE
    v_account text;
BEGIN
    SELECT o.account_id, o.attempts + 1 INTO v_account, attempt FROM trading_order o
        JOIN accounts_account a ON a.account_id = o.account_id
        WHERE o.id = p_order AND o.seq = p_expected_seq AND o.status = 'queued'
        AND o.not_after > clock_timestamp() AND o.cancel_requested_at IS NULL
        AND a.suspended_at IS NULL AND NOT a.closing
        AND EXISTS (SELECT 1 FROM accounts_lease l WHERE l.account_id = o.account_id
                    AND l.owner = p_owner AND l.expires_at > clock_timestamp())
        FOR UPDATE OF o;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(v_account, 'order.submitting', p_body, p_order) a;
    UPDATE trading_order o SET status = 'submitting', attempts = attempt,
        seq = order_claim.seq, updated_at = order_claim.recorded_at WHERE o.id = p_order;
    INSERT INTO trading_attempt (order_id, n, kind, process, sent_at)
        VALUES (p_order, attempt, 'submit', p_process, recorded_at);
END $$;
"""

CHANGE = r"""
-- 1. Lock the order as it was when the change was decided; `stale` tells the caller to decide anew.
-- 2. A fill that is known already changes nothing: `duplicate`. One that the broker told takes the
--    place of those that stood for it.
-- 3. Append the entry, then change the row by the patch (its keys are column names), and note
--    whether its fills add up.
-- 4. Begin, end or slow down the search for it.
CREATE OR REPLACE FUNCTION order_change(
    p_order uuid, p_expected_seq bigint, p_kind text, p_body text, p_patch jsonb, p_fill jsonb,
    OUT outcome text, OUT seq bigint, OUT recorded_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    v_was record;
    v_is record;
    v_short boolean;
BEGIN
    SELECT o.account_id, o.symbol, o.side, o.status, o.filled_qty, o.ambiguous INTO v_was
        FROM trading_order o WHERE o.id = p_order AND o.seq = p_expected_seq FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'stale';
        RETURN;
    END IF;
    IF p_fill IS NOT NULL THEN
        INSERT INTO trading_fill (account_id, order_id, execution_id, at, recorded_at, symbol,
            side, qty, price, position_qty, source)
        SELECT v_was.account_id, p_order, f.execution_id, f.at, clock_timestamp(),
            v_was.symbol, v_was.side, f.qty, f.price, f.position_qty, f.source
            FROM jsonb_to_record(p_fill) AS f(execution_id text, at text, qty numeric,
                price numeric, position_qty numeric, source text)
        ON CONFLICT (account_id, execution_id) DO NOTHING;
        IF NOT FOUND THEN
            outcome := 'duplicate';
            RETURN;
        END IF;
        UPDATE trading_fill f SET superseded_by = p_fill ->> 'execution_id'
            WHERE f.order_id = p_order AND f.source = 'synthesised'
            AND f.superseded_by IS NULL AND f.execution_id <> p_fill ->> 'execution_id';
    END IF;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(v_was.account_id, p_kind, p_body, p_order) a;
    IF p_fill IS NOT NULL OR p_patch ? 'filled_qty' THEN
        SELECT coalesce((p_patch ->> 'filled_qty')::numeric, v_was.filled_qty)
                <> coalesce(sum(f.qty), 0) INTO v_short
            FROM trading_fill f WHERE f.order_id = p_order AND f.superseded_by IS NULL;
    END IF;
    UPDATE trading_order o SET
        seq = order_change.seq, updated_at = order_change.recorded_at,
        fills_short = coalesce(v_short, o.fills_short),
        broker_order_id = CASE WHEN p_patch ? 'broker_order_id'
            THEN p.broker_order_id ELSE o.broker_order_id END,
        status = coalesce(p.status, o.status), final = coalesce(p.final, o.final),
        reason = CASE WHEN p_patch ? 'reason' THEN p.reason ELSE o.reason END,
        filled_qty = coalesce(p.filled_qty, o.filled_qty),
        filled_avg_price = coalesce(p.filled_avg_price, o.filled_avg_price),
        legs = CASE WHEN p_patch ? 'legs' THEN p.legs ELSE o.legs END,
        replaced_by = coalesce(p.replaced_by, o.replaced_by),
        submitted_at = coalesce(p.submitted_at, o.submitted_at),
        filled_at = coalesce(p.filled_at, o.filled_at),
        expired_at = coalesce(p.expired_at, o.expired_at),
        canceled_at = coalesce(p.canceled_at, o.canceled_at),
        failed_at = coalesce(p.failed_at, o.failed_at),
        ambiguous = coalesce(p.ambiguous, o.ambiguous),
        cancel_requested_at = CASE WHEN p_patch ? 'cancel_requested_at'
            THEN p.cancel_requested_at ELSE o.cancel_requested_at END,
        broker_updated_at = CASE WHEN p_patch ? 'broker_updated_at'
            THEN p.broker_updated_at ELSE o.broker_updated_at END,
        refusal = CASE WHEN p_patch ? 'refusal' THEN p.refusal ELSE o.refusal END
        FROM jsonb_to_record(p_patch) AS p(
            broker_order_id text, status text, final boolean, reason text, filled_qty numeric,
            filled_avg_price numeric, legs jsonb, replaced_by uuid, submitted_at text,
            filled_at text, expired_at text, canceled_at text, failed_at text, ambiguous boolean,
            cancel_requested_at timestamptz, broker_updated_at text, refusal jsonb)
        WHERE o.id = p_order
        RETURNING o.status, o.ambiguous INTO v_is;
    IF v_is.ambiguous AND v_is.status <> v_was.status THEN
        PERFORM search_follow(p_order, v_was.account_id, v_was.status, v_is.status);
    END IF;
    outcome := 'changed';
END $$;
"""

WRITE = r"""
-- Each element of p_writes is one claim (it has an owner), one change, or the end of an attempt
-- alone (it has no kind); the answers come in its order (n).
-- Locks are taken in one order by everybody, or two writers could wait for each other: first the
-- orders, by id, then the heads of their journals, by account.
-- Everything here is found by a key; a plan made while a table was small must not stay a scan.
CREATE FUNCTION orders_write(p_writes json)
RETURNS TABLE (n integer, outcome text, seq bigint, recorded_at timestamptz, attempt integer)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    w record;
    v_orders uuid[];
BEGIN
    v_orders := ARRAY(SELECT (e ->> 'order_id')::uuid FROM json_array_elements(p_writes) e);
    PERFORM journal_lock(l.account_id) FROM (SELECT DISTINCT t.account_id FROM (
        SELECT o.account_id FROM trading_order o WHERE o.id = ANY(v_orders)
        ORDER BY o.id FOR UPDATE) t ORDER BY t.account_id) l;
    FOR w IN SELECT * FROM ROWS FROM (json_to_recordset(p_writes) AS (
            order_id uuid, expected bigint, owner text, process text, kind text, body text,
            patch jsonb, fill jsonb, ended jsonb)) WITH ORDINALITY LOOP
        n := w.ordinality;
        outcome := NULL; seq := NULL; recorded_at := NULL; attempt := NULL;
        IF w.owner IS NOT NULL THEN
            SELECT c.seq, c.recorded_at, c.attempt INTO seq, recorded_at, attempt
                FROM order_claim(w.order_id, w.expected, w.owner, w.process, w.body) c;
            outcome := CASE WHEN seq IS NULL THEN 'stale' ELSE 'changed' END;
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

ACCEPT = """
ALTER FUNCTION order_accept(text, text, text, text, uuid, text, text, jsonb)
    SET enable_seqscan = off
"""


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0005_orders_to_send_by_account"),
        ("accounts", "0005_custody"),
    ]

    operations = [
        migrations.RunSQL(CLAIM),
        migrations.RunSQL(CHANGE),
        migrations.RunSQL(WRITE),
        migrations.RunSQL(ACCEPT),
    ]
