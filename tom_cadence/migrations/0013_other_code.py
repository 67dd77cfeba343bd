"""Other code of the TOM is one of those who ask for observations."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('tom_cadence', '0012_template_ownership'),
    ]

    operations = [
        migrations.AlterField(
            model_name='submission',
            name='origin',
            field=models.CharField(
                choices=[
                    ('start', 'The start of a cadence'),
                    ('cadence', 'A cadence'),
                    ('template', 'A template applied to a target'),
                    ('form', "The TOM's observation form"),
                    ('api', "The TOM's REST API"),
                    ('own-run', 'The strategy itself, in its run()'),
                    ('other-code', 'Other code of this TOM'),
                ],
                default='cadence',
                max_length=16,
            ),
        ),
    ]
