"""Many acceptances of orders in one transaction and one round trip (docs/adr/0027)."""

from django.db import migrations

ACCEPT_EACH = r"""
-- Each element of p_orders is one call of order_accept; the answers come in its order (n). Nothing
-- in it is counted (p_counted): the row of a subject's count is never locked before another's head.
-- The heads are locked first, in the order that orders_write has. Whose head is busy for longer
-- than neighbours should wait fails the call, and each of its orders is accepted by itself.
CREATE FUNCTION order_accept_each(p_orders json)
RETURNS TABLE (n bigint, found_by text, order_id uuid, seq bigint, recorded_at timestamptz,
    body text, fingerprint text, status text, denial jsonb)
LANGUAGE plpgsql SET enable_seqscan = off SET lock_timeout = '100ms' AS $$
BEGIN
    PERFORM journal_lock(l.account) FROM (SELECT DISTINCT e ->> 'account' AS account
        FROM json_array_elements(p_orders) e ORDER BY 1) l;
    RETURN QUERY SELECT w.ordinality, a.* FROM ROWS FROM (json_to_recordset(p_orders) AS (
            account text, subject text, key text, client_order_id text, id uuid, kind text,
            body text, private text, symbol text, stamp bigint)) WITH ORDINALITY w,
        LATERAL order_accept(w.account, w.subject, w.key, w.client_order_id, w.id, w.kind, w.body,
            w.private::jsonb, w.symbol, w.stamp) a;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [('trading', '0007_halts_and_limits')]

    operations = [migrations.RunSQL(ACCEPT_EACH)]
