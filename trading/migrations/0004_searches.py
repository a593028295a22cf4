"""One schedule of the look-ups of an order, whoever does them: desk, worker, or the next of either."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

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
    v_row trading_order;
    v_was text;
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
    v_was := v_row.status;
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
    IF v_row.ambiguous AND v_row.status <> v_was THEN
        PERFORM search_follow(p_order, v_row.account_id, v_was, v_row.status);
    END IF;
    outcome := 'changed';
END $$;
"""

FOLLOW = r"""
-- What a change of an ambiguous order's status means for the search for it:
-- unknown: it begins, the first look-up half a second later. lapsed: it goes on slowly, for what
-- was given up here may still appear there. Anything else ends it; back to queued is a re-send.
CREATE FUNCTION search_follow(p_order uuid, p_account text, p_was text, p_is text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_next timestamptz;
BEGIN
    IF p_is IN ('unknown', 'lapsed') THEN
        v_next := clock_timestamp()
            + CASE p_is WHEN 'unknown' THEN interval '500 milliseconds' ELSE interval '1 minute' END;
        INSERT INTO trading_search AS s (order_id, account_id, began_at, next_at, looked_up,
                not_found, resent)
            VALUES (p_order, p_account, clock_timestamp(), v_next, 0, 0, 0)
            ON CONFLICT (order_id) DO UPDATE SET began_at = excluded.began_at,
                next_at = excluded.next_at, looked_up = 0, not_found = 0;
    ELSIF p_was IN ('unknown', 'lapsed') THEN
        UPDATE trading_search s SET next_at = NULL, resent = s.resent + (p_is = 'queued')::integer
            WHERE s.order_id = p_order;
    END IF;
END $$;
"""

TAKE = r"""
-- Take a look-up that is due, and plan the next one: whoever comes second finds it not due.
-- 1. Lock the search, if it is due for at least p_overdue seconds and still wanted.
-- 2. At most p_a_minute look-ups of the account in any minute: where they are used up, the search
--    waits until the oldest of them is a minute old.
-- 3. Count it, and plan the next by the pause that follows (seconds, the last one repeats) ±25 %:
--    p_pauses while the order is unknown, p_watching for a day after it lapsed.
CREATE FUNCTION search_take(
    p_order uuid, p_overdue float8, p_pauses float8[], p_watching float8[], p_a_minute integer,
    OUT began_at timestamptz, OUT resent integer, OUT status text
) LANGUAGE plpgsql AS $$
DECLARE
    v_search trading_search;
    v_status text;
    v_recent timestamptz[];
    v_pauses float8[];
BEGIN
    SELECT s.* INTO v_search FROM trading_search s WHERE s.order_id = p_order
        AND s.next_at <= clock_timestamp() - p_overdue * interval '1 second'
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT o.status INTO v_status FROM trading_order o WHERE o.id = p_order;
    INSERT INTO trading_recentlookups (account_id, at) VALUES (v_search.account_id, '{}')
        ON CONFLICT (account_id) DO NOTHING;
    SELECT r.at INTO v_recent FROM trading_recentlookups r
        WHERE r.account_id = v_search.account_id FOR UPDATE;
    v_recent := ARRAY(SELECT t FROM unnest(v_recent) t
        WHERE t > clock_timestamp() - interval '1 minute' ORDER BY t);
    IF cardinality(v_recent) >= p_a_minute THEN
        UPDATE trading_search s
            SET next_at = v_recent[cardinality(v_recent) - p_a_minute + 1] + interval '1 minute'
            WHERE s.order_id = p_order;
        RETURN;
    END IF;
    UPDATE trading_recentlookups r SET at = v_recent || clock_timestamp()
        WHERE r.account_id = v_search.account_id;
    v_pauses := CASE v_status WHEN 'unknown' THEN p_pauses ELSE p_watching END;
    UPDATE trading_search s SET looked_up = s.looked_up + 1, next_at = CASE
            WHEN v_status <> 'unknown' AND s.began_at < clock_timestamp() - interval '1 day'
            THEN NULL
            ELSE clock_timestamp() + v_pauses[least(s.looked_up + 1, cardinality(v_pauses))]
                * (0.75 + random() / 2) * interval '1 second' END
        WHERE s.order_id = p_order;
    began_at := v_search.began_at;
    resent := v_search.resent;
    status := v_status;
END $$;
"""

BEGIN_FOR_THOSE_THERE = r"""
INSERT INTO trading_search (order_id, account_id, began_at, next_at, looked_up, not_found, resent)
    SELECT o.id, o.account_id, o.updated_at, clock_timestamp(), 0, 0, 0 FROM trading_order o
    WHERE o.status = 'unknown';
"""


class Migration(migrations.Migration):

    dependencies = [
        ('trading', '0003_fill_books'),
    ]

    operations = [
        migrations.CreateModel(
            name='Search',
            fields=[
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='search', serialize=False, to='trading.order')),
                ('account_id', models.CharField(max_length=64)),
                ('began_at', models.DateTimeField()),
                ('next_at', models.DateTimeField(null=True)),
                ('looked_up', models.PositiveIntegerField()),
                ('not_found', models.PositiveIntegerField()),
                ('resent', models.PositiveIntegerField()),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('next_at__isnull', False)), fields=['next_at'], name='look_ups_to_do')],
            },
        ),
        migrations.CreateModel(
            name='RecentLookUps',
            fields=[
                ('account_id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('at', django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), size=None)),
            ],
        ),
        migrations.RunSQL(FOLLOW),
        migrations.RunSQL(CHANGE),
        migrations.RunSQL(TAKE),
        migrations.RunSQL(BEGIN_FOR_THOSE_THERE),
    ]
