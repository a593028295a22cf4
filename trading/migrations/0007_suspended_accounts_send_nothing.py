"""A claim sees that its account was suspended, however late: nothing is sent after it was said."""

from django.db import migrations

CLAIM = r"""
-- design.md §4: READ COMMITTED, each statement with its own snapshot.
-- 1. Lock the order if it may still be sent: queued, unchanged since the desk read it, in time,
--    not asked to be cancelled, its account leased by this desk.
-- 2. Lock the head of the account's journal, which is locked too by whoever suspends the account:
--    what committed before is seen by the next statement, and not by the first.
-- 3. Go no further if the account is suspended, or leaves the roster.
-- 4. Append the entry.
-- 5. Change the row, and write the attempt: only now may a byte leave (law 4).
CREATE OR REPLACE FUNCTION order_claim(
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
    PERFORM journal_lock(v_account);
    IF EXISTS (SELECT 1 FROM accounts_account a WHERE a.account_id = v_account
               AND (a.suspended_at IS NOT NULL OR a.closing)) THEN
        attempt := NULL;
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


class Migration(migrations.Migration):
    dependencies = [("trading", "0006_writes"), ("accounts", "0005_custody")]

    operations = [migrations.RunSQL(CLAIM)]
