"""One SQL function for each way an order is written: accepted, claimed, changed (law 1)."""

from django.db import migrations

ACCEPT = r"""
-- 1. Lock the account's head: every acceptance of an account is serial from here to the commit,
--    so that the look-ups below see every earlier one.
-- 2. The same key, or the same client_order_id, has an order already: return its accepting entry.
-- 3. Append the entry, and store the order it describes.
CREATE FUNCTION order_accept(
    p_account text, p_subject text, p_key text, p_client_order_id text, p_order uuid,
    p_kind text, p_body text, p_private jsonb,
    OUT found_by text, OUT order_id uuid, OUT seq bigint, OUT recorded_at timestamptz,
    OUT body text, OUT fingerprint text, OUT status text
) LANGUAGE plpgsql AS $$
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
    order_id := p_order;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(p_account, p_kind, p_body, p_order) a;
    INSERT INTO trading_order SELECT r.* FROM jsonb_populate_record(NULL::trading_order,
        (p_body::jsonb -> 'after') || p_private
        || jsonb_build_object('seq', seq, 'updated_at', recorded_at)) r;
END $$;
"""

CLAIM = r"""
-- design.md §4: READ COMMITTED, each statement with its own snapshot.
-- 1. Lock the order if it may still be sent: queued, unchanged since the desk read it, in time,
--    not asked to be cancelled, its account leased by this desk.
-- 2. Append the entry.
-- 3. Change the row, and write the attempt: only now may a byte leave (law 4).
CREATE FUNCTION order_claim(
    p_order uuid, p_expected_seq bigint, p_owner text, p_process text, p_body text,
    OUT seq bigint, OUT recorded_at timestamptz, OUT attempt integer
) LANGUAGE plpgsql AS $$
DECLARE
    v_account text;
BEGIN
    SELECT o.account_id, o.attempts + 1 INTO v_account, attempt FROM trading_order o
        WHERE o.id = p_order AND o.seq = p_expected_seq AND o.status = 'queued'
        AND o.not_after > clock_timestamp() AND o.cancel_requested_at IS NULL
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
-- 2. A fill that is known already changes nothing: `duplicate`.
-- 3. Append the entry, then change the row by the patch (its keys are column names).
CREATE FUNCTION order_change(
    p_order uuid, p_expected_seq bigint, p_kind text, p_body text, p_patch jsonb, p_fill jsonb,
    OUT outcome text, OUT seq bigint, OUT recorded_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    v_row trading_order;
BEGIN
    SELECT * INTO v_row FROM trading_order o
        WHERE o.id = p_order AND o.seq = p_expected_seq FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'stale';
        RETURN;
    END IF;
    IF p_fill IS NOT NULL THEN
        INSERT INTO trading_fill (account_id, order_id, execution_id, at, recorded_at, symbol,
            side, qty, price, position_qty, source)
        SELECT v_row.account_id, p_order, f.execution_id, f.at, clock_timestamp(),
            v_row.symbol, v_row.side, f.qty, f.price, f.position_qty, f.source
            FROM jsonb_to_record(p_fill) AS f(execution_id text, at text, qty numeric,
                price numeric, position_qty numeric, source text)
        ON CONFLICT (account_id, execution_id) DO NOTHING;
        IF NOT FOUND THEN
            outcome := 'duplicate';
            RETURN;
        END IF;
    END IF;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(v_row.account_id, p_kind, p_body, p_order) a;
    v_row := jsonb_populate_record(v_row, p_patch
        || jsonb_build_object('seq', seq, 'updated_at', recorded_at));
    UPDATE trading_order o SET
        broker_order_id = v_row.broker_order_id, status = v_row.status, final = v_row.final,
        reason = v_row.reason, seq = v_row.seq, filled_qty = v_row.filled_qty,
        filled_avg_price = v_row.filled_avg_price, legs = v_row.legs,
        replaced_by = v_row.replaced_by, updated_at = v_row.updated_at,
        submitted_at = v_row.submitted_at, filled_at = v_row.filled_at,
        expired_at = v_row.expired_at, canceled_at = v_row.canceled_at,
        failed_at = v_row.failed_at, ambiguous = v_row.ambiguous,
        cancel_requested_at = v_row.cancel_requested_at,
        broker_updated_at = v_row.broker_updated_at, refusal = v_row.refusal
        WHERE o.id = p_order;
    outcome := 'changed';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_tables"), ("accounts", "0002_journal_functions")]

    operations = [migrations.RunSQL(ACCEPT), migrations.RunSQL(CLAIM), migrations.RunSQL(CHANGE)]
