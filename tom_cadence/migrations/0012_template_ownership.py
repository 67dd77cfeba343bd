"""TemplateCard is called TemplateOwnership; its tables keep their names, and no row moves."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('tom_cadence', '0011_one_number'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelTable(name='templatecard', table='tom_cadence_templatecard'),
                migrations.RenameModel('TemplateCard', 'TemplateOwnership'),
                migrations.AlterField(
                    model_name='templateownership',
                    name='template',
                    field=models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name='ownership',
                        to='tom_observations.observationtemplate',
                    ),
                ),
                migrations.CreateModel(
                    name='SharedTemplate',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('group', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.group')),
                        (
                            'ownership',
                            models.ForeignKey(
                                db_column='templatecard_id',
                                on_delete=django.db.models.deletion.CASCADE,
                                to='tom_cadence.templateownership',
                            ),
                        ),
                    ],
                    options={
                        'db_table': 'tom_cadence_templatecard_groups',
                        'unique_together': {('ownership', 'group')},
                    },
                ),
                migrations.AlterField(
                    model_name='templateownership',
                    name='groups',
                    field=models.ManyToManyField(
                        blank=True,
                        related_name='observation_templates',
                        through='tom_cadence.SharedTemplate',
                        to='auth.group',
                    ),
                ),
            ]
        ),
    ]
