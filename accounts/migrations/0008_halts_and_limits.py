"""Halts, and what an account may order at most."""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_retired_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='Limits',
            fields=[
                ('account_id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('version', models.PositiveBigIntegerField()),
                ('max_quantity', models.DecimalField(decimal_places=9, max_digits=21, null=True)),
                ('max_notional', models.DecimalField(decimal_places=9, max_digits=21, null=True)),
                ('orders_per_minute', models.PositiveIntegerField(null=True)),
                ('orders_per_day', models.PositiveIntegerField(null=True)),
                ('symbols_allowed', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), null=True, size=None)),
                ('symbols_denied', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), null=True, size=None)),
                ('duplicate_seconds', models.PositiveIntegerField(null=True)),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('changed_by', models.CharField(max_length=128)),
                ('reason', models.CharField(max_length=200)),
            ],
            options={
                'verbose_name_plural': 'limits',
                'ordering': ['account_id'],
                'permissions': [('set_limits', 'Can set risk limits')],
            },
        ),
        migrations.CreateModel(
            name='Halt',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('scope', models.CharField(choices=[('global', 'Global'), ('account', 'Account'), ('symbol', 'Symbol')], max_length=8)),
                ('account_id', models.CharField(max_length=64, null=True)),
                ('symbol', models.CharField(max_length=32, null=True)),
                ('mode', models.CharField(choices=[('halt', 'Halt'), ('reduce_only', 'Reduce Only')], max_length=16)),
                ('cancel_before', models.DateTimeField(null=True)),
                ('reason', models.CharField(max_length=200)),
                ('actor_kind', models.CharField(max_length=16)),
                ('actor', models.CharField(max_length=128)),
                ('set_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('lifted_at', models.DateTimeField(null=True)),
                ('lifted_by', models.CharField(max_length=128, null=True)),
                ('lifted_reason', models.CharField(max_length=200, null=True)),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('set_halt', 'Can set and lift halts')],
                'indexes': [models.Index(condition=models.Q(('lifted_at', None)), fields=['account_id'], name='standing_halts')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('scope', 'account_id', 'symbol', 'mode', 'actor_kind', 'actor'), name='one_standing_halt_of_one_actor', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('account_id', None), ('scope', 'global'), ('symbol', None)), models.Q(('account_id__isnull', False), ('scope', 'account'), ('symbol', None)), models.Q(('scope', 'symbol'), ('symbol__isnull', False)), _connector='OR'), name='a_halt_names_what_its_scope_says'), models.CheckConstraint(condition=models.Q(('mode__in', ['halt', 'reduce_only'])), name='a_halt_s_mode_is_a_known_word'), models.CheckConstraint(condition=models.Q(models.Q(('lifted_at', None), ('lifted_by', None)), models.Q(('lifted_at__isnull', False), ('lifted_by__isnull', False)), _connector='OR'), name='a_lifted_halt_says_by_whom')],
            },
        ),
    ]
