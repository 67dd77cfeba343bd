"""When somebody was last told again of what waits."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tom_cadence', '0017_action_of_a_mail'),
    ]

    operations = [
        migrations.AddField(
            model_name='managedcadence',
            name='reminded',
            field=models.DateTimeField(blank=True, help_text='When its owner was last told again of the same wait.', null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='reminded',
            field=models.DateTimeField(help_text='When somebody was last told again that its fate is not known.', null=True),
        ),
    ]
