"""A mail leads to where its reader can act on it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tom_cadence', '0016_whose_rows'),
    ]

    operations = [
        migrations.AddField(
            model_name='outgoingmail',
            name='action',
            field=models.CharField(blank=True, default='', help_text='The one next action, as a link says it.', max_length=200),
        ),
        migrations.AddField(
            model_name='outgoingmail',
            name='path',
            field=models.CharField(blank=True, default='', help_text='Where in this TOM to take it.', max_length=300),
        ),
    ]
