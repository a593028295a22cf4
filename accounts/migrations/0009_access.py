"""Who may not come in: denied tokens, subjects' and accounts' networks, and their version."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_halts_and_limits'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccountNetworks',
            fields=[
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='networks', serialize=False, to='accounts.account')),
                ('allowed_ips', models.JSONField()),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Subject',
            fields=[
                ('sub', models.CharField(max_length=128, primary_key=True, serialize=False)),
                ('allowed_ips', models.JSONField(default=list)),
                ('rate_limits', models.JSONField(null=True)),
                ('note', models.CharField(blank=True, default='', max_length=200)),
                ('last_seen_at', models.DateTimeField(null=True)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['sub'],
            },
        ),
        migrations.CreateModel(
            name='AccessVersion',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('version', models.BigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='there_is_one_access_version')],
            },
        ),
        migrations.CreateModel(
            name='DeniedToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('jti', 'Jti'), ('sub', 'Sub')], max_length=3)),
                ('value', models.CharField(max_length=128)),
                ('until', models.DateTimeField(null=True)),
                ('reason', models.CharField(max_length=200)),
                ('actor', models.CharField(max_length=128)),
                ('denied_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'value'), name='one_denial_of_a_token'), models.CheckConstraint(condition=models.Q(('kind__in', ['jti', 'sub'])), name='a_denial_is_of_a_jti_or_a_sub')],
            },
        ),
    ]
