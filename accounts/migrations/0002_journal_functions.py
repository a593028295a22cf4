"""The journal: the only way to append, and guards against every way to change it (law 2)."""

from django.db import migrations

FUNCTIONS = r"""
CREATE FUNCTION journal_open(p_account text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    INSERT INTO public.accounts_journalhead (account_id, seq, hash)
    VALUES (p_account, 0, sha256(convert_to('opitios journal 1' || E'\n' || p_account, 'UTF8')))
    ON CONFLICT (account_id) DO NOTHING;
$$;

-- Locking a head needs a right on it that the application does not have.
CREATE FUNCTION journal_lock(p_account text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT h.seq FROM public.accounts_journalhead h WHERE h.account_id = p_account FOR UPDATE;
$$;

-- Lock the head, number, hash, insert. The hashed text is
-- canon \n account \n seq \n recorded_at \n kind \n body, after the bytes of the previous hash;
-- only the body may hold a line break, and it comes last.
CREATE FUNCTION journal_append(
    p_account text, p_kind text, p_body text, p_order uuid DEFAULT NULL,
    OUT seq bigint, OUT recorded_at timestamptz
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_prev bytea;
    v_hash bytea;
BEGIN
    IF p_kind !~ '^[a-z][a-z_.]{0,63}$' THEN
        RAISE EXCEPTION 'a journal kind is a plain word, not %', quote_literal(p_kind)
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT h.seq + 1, h.hash INTO seq, v_prev
        FROM public.accounts_journalhead h WHERE h.account_id = p_account FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no journal is open for %', quote_literal(p_account)
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    recorded_at := clock_timestamp();
    v_hash := sha256(v_prev || convert_to(concat_ws(E'\n', '1', p_account, seq,
        to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        p_kind, p_body), 'UTF8'));
    INSERT INTO public.accounts_journalentry
        (account_id, seq, recorded_at, kind, order_id, canon, body, prev_hash, hash)
        VALUES (p_account, seq, recorded_at, p_kind, p_order, 1, p_body, v_prev, v_hash);
    UPDATE public.accounts_journalhead h SET seq = journal_append.seq, hash = v_hash
        WHERE h.account_id = p_account;
END $$;
"""

GUARDS = r"""
CREATE FUNCTION journal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION journal_head_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account_id <> OLD.account_id OR NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'a journal head only moves by one entry'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER journal_entry_is_final BEFORE UPDATE OR DELETE ON accounts_journalentry
    FOR EACH ROW EXECUTE FUNCTION journal_refuse();
CREATE TRIGGER journal_entries_stay BEFORE TRUNCATE ON accounts_journalentry
    FOR EACH STATEMENT EXECUTE FUNCTION journal_refuse();
CREATE TRIGGER journal_head_moves_by_one BEFORE UPDATE ON accounts_journalhead
    FOR EACH ROW EXECUTE FUNCTION journal_head_step();
CREATE TRIGGER journal_head_stays BEFORE DELETE ON accounts_journalhead
    FOR EACH ROW EXECUTE FUNCTION journal_refuse();
CREATE TRIGGER journal_heads_stay BEFORE TRUNCATE ON accounts_journalhead
    FOR EACH STATEMENT EXECUTE FUNCTION journal_refuse();
-- ALWAYS: they also fire under session_replication_role = replica.
ALTER TABLE accounts_journalentry ENABLE ALWAYS TRIGGER journal_entry_is_final;
ALTER TABLE accounts_journalentry ENABLE ALWAYS TRIGGER journal_entries_stay;
ALTER TABLE accounts_journalhead ENABLE ALWAYS TRIGGER journal_head_moves_by_one;
ALTER TABLE accounts_journalhead ENABLE ALWAYS TRIGGER journal_head_stays;
ALTER TABLE accounts_journalhead ENABLE ALWAYS TRIGGER journal_heads_stay;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_tables")]

    operations = [
        migrations.RunSQL(FUNCTIONS),
        migrations.RunSQL(GUARDS),
        migrations.RunSQL("SELECT journal_open('_system')"),
    ]
