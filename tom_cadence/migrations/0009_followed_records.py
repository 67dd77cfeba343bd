"""One row for each record that is followed, the reply as it came, and the key that marks are derived with."""

import secrets

import django.db.models.deletion
from django.db import migrations, models


def fill(apps, schema_editor):
    """What is followed now; where two requests follow one record, the first one does."""
    database = schema_editor.connection.alias
    requests = apps.get_model('tom_cadence', 'Submission').objects.using(database)
    followed_model = apps.get_model('tom_cadence', 'FollowedRecord')
    rows = {}
    known = requests.filter(state__in=('sending', 'uncertain', 'accepted')).order_by('pk')
    for pk, follows in known.values_list('pk', 'follows').iterator():
        for record in follows:
            rows.setdefault(record, followed_model(record=record, submission_id=pk))
    followed_model.objects.using(database).bulk_create(rows.values(), batch_size=500)
    apps.get_model('tom_cadence', 'SiteKey').objects.using(database).create(key=secrets.token_hex(24))


class Migration(migrations.Migration):
    dependencies = [('tom_cadence', '0008_what_precedes_sending')]

    operations = [
        migrations.CreateModel(
            name='FollowedRecord',
            fields=[
                ('record', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('submission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='followed', to='tom_cadence.submission')),
            ],
        ),
        migrations.CreateModel(
            name='SiteKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name='submission',
            name='reply',
            field=models.JSONField(help_text='The ids that the facility answered with, kept before records are made of them.', null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
