"""One row for every observation request, whoever began it: the place for those that belong to no cadence."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('tom_cadence', '0005_outgoing_mail'),
    ]

    operations = [
        migrations.AddField(
            model_name='submission',
            name='origin',
            field=models.CharField(choices=[('start', 'The start of a cadence'), ('cadence', 'A cadence'), ('template', 'A template applied to a target'), ('form', "The TOM's observation form"), ('api', "The TOM's REST API"), ('own-run', 'The strategy itself, in its run()')], default='cadence', max_length=16),
        ),
        migrations.AddField(
            model_name='submission',
            name='groups',
            field=models.ManyToManyField(help_text='Who may see the records, besides the owner.', related_name='+', to='auth.group'),
        ),
        migrations.AddField(
            model_name='submission',
            name='afterwards',
            field=models.JSONField(default=dict, help_text='What begins with the records: name of their observation group, strategy and parameters of a cadence.'),
        ),
        migrations.AlterField(
            model_name='submission',
            name='managed',
            field=models.ForeignKey(help_text='The cadence it belongs to; none where an observation was asked for without one.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='submissions', to='tom_cadence.managedcadence'),
        ),
        migrations.AddField(
            model_name='templatetask',
            name='request',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='task', to='tom_cadence.submission'),
        ),
    ]
