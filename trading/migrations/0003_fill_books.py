"""An order's fills add up to what the broker says was filled, or the row says that they do not."""

from django.db import migrations, models

CHANGE = r"""
-- 1. Lock the order as it was when the change was decided; `stale` tells the caller to decide anew.
-- 2. A fill that is known already changes nothing: `duplicate`. One that the broker told takes the
--    place of those that stood for it.
-- 3. Append the entry, then change the row by the patch (its keys are column names), and note
--    whether its fills add up.
CREATE OR REPLACE FUNCTION order_change(
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
        UPDATE trading_fill f SET superseded_by = p_fill ->> 'execution_id'
            WHERE f.order_id = p_order AND f.source = 'synthesised'
            AND f.superseded_by IS NULL AND f.execution_id <> p_fill ->> 'execution_id';
    END IF;
    SELECT a.seq, a.recorded_at INTO seq, recorded_at
        FROM journal_append(v_row.account_id, p_kind, p_body, p_order) a;
    v_row := jsonb_populate_record(v_row, p_patch
        || jsonb_build_object('seq', seq, 'updated_at', recorded_at));
    IF p_fill IS NOT NULL OR p_patch ? 'filled_qty' THEN
        SELECT v_row.filled_qty <> coalesce(sum(f.qty), 0) INTO v_row.fills_short
            FROM trading_fill f WHERE f.order_id = p_order AND f.superseded_by IS NULL;
    END IF;
    UPDATE trading_order o SET
        broker_order_id = v_row.broker_order_id, status = v_row.status, final = v_row.final,
        reason = v_row.reason, seq = v_row.seq, filled_qty = v_row.filled_qty,
        filled_avg_price = v_row.filled_avg_price, legs = v_row.legs,
        replaced_by = v_row.replaced_by, updated_at = v_row.updated_at,
        submitted_at = v_row.submitted_at, filled_at = v_row.filled_at,
        expired_at = v_row.expired_at, canceled_at = v_row.canceled_at,
        failed_at = v_row.failed_at, ambiguous = v_row.ambiguous,
        cancel_requested_at = v_row.cancel_requested_at,
        broker_updated_at = v_row.broker_updated_at, refusal = v_row.refusal,
        fills_short = v_row.fills_short
        WHERE o.id = p_order;
    outcome := 'changed';
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('trading', '0002_order_functions'),
    ]

    operations = [
        migrations.AddField(
            model_name='fill',
            name='superseded_by',
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name='order',
            name='fills_short',
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('fills_short', True)), fields=['updated_at'], name='orders_with_short_fills'),
        ),
        migrations.RunSQL(CHANGE),
    ]
