"""Requests and targets of templates go where their target goes; a template whose owner was deleted is not everybody's."""

import tom_followup.target_merge
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tom_cadence', '0015_ignore_before'),
        ('tom_targets', '0031_basetarget_shared_by_basetarget_shared_from'),
    ]

    operations = [
        migrations.AddField(
            model_name='templateownership',
            name='orphaned',
            field=models.BooleanField(default=False, help_text="Whether its owner was deleted: it is not everybody's for that."),
        ),
        migrations.AlterField(
            model_name='submission',
            name='target',
            field=models.ForeignKey(null=True, on_delete=tom_followup.target_merge.move_to_merged_target_or_null, related_name='+', to='tom_targets.basetarget'),
        ),
        migrations.AlterField(
            model_name='templatetask',
            name='target',
            field=models.ForeignKey(null=True, on_delete=tom_followup.target_merge.move_to_merged_target_or_null, related_name='+', to='tom_targets.basetarget'),
        ),
    ]
