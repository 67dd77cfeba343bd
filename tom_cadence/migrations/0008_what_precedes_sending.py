"""A target of a template keeps only what precedes sending; what came after is in its observation request."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [('tom_cadence', '0007_requests_of_templates')]

    operations = [
        migrations.RemoveField(model_name='submission', name='kind'),
        *(
            migrations.RemoveField(model_name='templatetask', name=name)
            for name in ('attempt', 'closed', 'kept', 'observation_ids', 'sent', 'token')
        ),
        migrations.AlterField(
            model_name='templatetask',
            name='state',
            field=models.CharField(choices=[('new', 'Not checked yet'), ('ready', 'Ready to be sent'), ('invalid', 'Cannot be sent'), ('left-out', 'Left out')], default='new', max_length=16),
        ),
    ]
