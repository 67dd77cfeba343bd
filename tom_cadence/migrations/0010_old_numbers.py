"""A place for the number that a cadence's page had."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [('tom_cadence', '0009_followed_records')]

    operations = [
        migrations.AddField(
            model_name='managedcadence',
            name='old_number',
            field=models.PositiveBigIntegerField(db_index=True, help_text='The number that its page had in 0.1.', null=True),
        ),
        migrations.AlterField(
            model_name='managedcadence',
            name='host_cadence_id',
            field=models.PositiveBigIntegerField(db_index=True, help_text='The number of the cadence, and of this row.'),
        ),
    ]
