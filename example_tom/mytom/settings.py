"""
Django settings of the example TOM, in the order and shape in which ``tom_setup`` of TOM Toolkit 3.1.0 writes them.

What tom-followup needs beyond them is marked with "tom-followup:"; copy those lines into a TOM of your own.
Unsuitable for production: the secret key is published, passwords are hashed for speed, DEBUG is on.
"""

import json
import os
from pathlib import Path

from tom_common.default_settings import *  # noqa: F403
from tom_common.default_settings import (
    TOMTOOLKIT_AUTHENTICATION_BACKENDS,
    TOMTOOLKIT_INSTALLED_APPS,
    TOMTOOLKIT_MIDDLEWARE,
)

from mytom.environment import database, sqlite, static_files_of

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / 'var'  # everything this TOM writes; git-ignored
VAR_DIR.mkdir(exist_ok=True)

# SECURITY WARNING: a fixed development value, known to everybody. Never use it elsewhere.
SECRET_KEY = 'example-tom-development-only-not-a-secret-3f1c0a6d9be84c57'
SECRET_KEY_FALLBACKS: list[str] = []

DEBUG = True

ALLOWED_HOSTS = ['127.0.0.1', 'localhost', 'testserver']

# Application definition

TOM_NAME = 'Example TOM'
# tom-followup: what the links in mails begin with.
TOM_ADDRESS = 'http://127.0.0.1:8000'

# A broker for workers: Redis, or RabbitMQ (needs the "rabbitmq" extra).
REDIS_URL = os.environ.get('REDIS_URL', '')
RABBITMQ_URL = os.environ.get('RABBITMQ_URL', '')

INSTALLED_APPS = [
    # tom-followup: before the toolkit's apps, so that its runcadencestrategies is the one that runs.
    'tom_cadence',
    'tom_forced_phot',
    *TOMTOOLKIT_INSTALLED_APPS,
    # tom-followup: only for work in the background (runcadencestrategies --enqueue).
    *(['django_dramatiq'] if REDIS_URL or RABBITMQ_URL else []),
    'custom_code',
]

SITE_ID = 1

MIDDLEWARE = [*TOMTOOLKIT_MIDDLEWARE]

ROOT_URLCONF = 'mytom.urls'

TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'DIRS': [BASE_DIR / 'templates'],
        'OPTIONS': {
            # Instead of APP_DIRS: the same, but for Alpine, which comes from a Python package instead of the internet.
            # Cached, as Django does by itself where nothing is said: else every page reads and compiles a hundred files.
            'loaders': [
                (
                    'django.template.loaders.cached.Loader',
                    ['django.template.loaders.filesystem.Loader', 'mytom.loaders.LocalAlpineLoader'],
                )
            ],
            'context_processors': [
                'django.template.context_processors.debug',
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ],
        },
    },
]

CRISPY_TEMPLATE_PACK = 'bootstrap5'

WSGI_APPLICATION = 'mytom.wsgi.application'

# Database. tom-followup: copy the OPTIONS of mytom.environment.sqlite if yours is SQLite.

if os.environ.get('DATABASE_URL'):
    DATABASES = {'default': database(os.environ['DATABASE_URL'])}
else:
    DATABASES = {
        'default': sqlite(
            os.environ.get('EXAMPLE_TOM_DATABASE') or VAR_DIR / 'db.sqlite3',
            os.environ.get('EXAMPLE_TOM_TEST_DATABASE'),
        )
    }

DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'

# SECURITY WARNING: quick hashes for quick tests; a real TOM does not set PASSWORD_HASHERS.
PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']
AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []

LOGIN_URL = '/accounts/login/'
LOGIN_REDIRECT_URL = '/'
LOGOUT_REDIRECT_URL = '/'

AUTHENTICATION_BACKENDS = [*TOMTOOLKIT_AUTHENTICATION_BACKENDS]

# Internationalization

LANGUAGE_CODE = 'en-us'

TIME_ZONE = os.environ.get('EXAMPLE_TOM_TIME_ZONE', 'UTC')

USE_I18N = True

USE_TZ = True

FORMAT_MODULE_PATH = ['tom_base.formats']

# Static files. Bootstrap and Alpine come from Python packages instead of a content delivery network, so that the pages
# work without internet (templates/tom_common/base.html names Alpine).

STATIC_URL = '/static/'
STATIC_ROOT = VAR_DIR / 'static'
STATICFILES_DIRS = [
    BASE_DIR / 'static',
    ('bootstrap', static_files_of('django_include_bootstrap')),
    ('alpine', static_files_of('js_lib_alpinejs', 'static/js_lib_alpinejs')),
]
BOOTSTRAP5 = {
    'css_url': {'url': f'{STATIC_URL}bootstrap/css/bootstrap.min.css'},
    'javascript_url': {'url': f'{STATIC_URL}bootstrap/js/bootstrap.bundle.min.js'},
}
MEDIA_ROOT = os.environ.get('EXAMPLE_TOM_MEDIA') or VAR_DIR / 'data'
MEDIA_URL = '/data/'

LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {'timestamped': {'format': '[{asctime}] {levelname} {name}: {message}', 'style': '{'}},
    'handlers': {
        'console': {
            'class': 'logging.StreamHandler',
            'formatter': 'timestamped',
            # on the handler, because modules of the toolkit set the level of their own loggers
            'level': os.environ.get('EXAMPLE_TOM_LOG_LEVEL', 'WARNING'),
        }
    },
    'loggers': {'': {'handlers': ['console'], 'level': 'INFO'}},
}

CACHES = {'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}}

TASKS = {'default': {'BACKEND': 'django_tasks.backends.immediate.ImmediateBackend'}}

if REDIS_URL or RABBITMQ_URL:
    DRAMATIQ_BROKER = {
        'BROKER': f'dramatiq.brokers.{"rabbitmq.RabbitmqBroker" if RABBITMQ_URL else "redis.RedisBroker"}',
        'OPTIONS': {'url': RABBITMQ_URL or REDIS_URL},
        'MIDDLEWARE': [
            'dramatiq.middleware.AgeLimit',
            'dramatiq.middleware.TimeLimit',
            'dramatiq.middleware.Callbacks',
            'dramatiq.middleware.Retries',
            'django_dramatiq.middleware.DbConnectionsMiddleware',
            'django_dramatiq.middleware.AdminMiddleware',
        ],
    }

# TOM specific configuration

TARGET_TYPE = 'SIDEREAL'

MATCH_MANAGERS: dict[str, str] = {}

_OBSERVATORY = {
    'portal_url': os.environ.get('EXAMPLE_OBSERVATORY_URL', 'http://127.0.0.1:8900'),
    'api_key': os.environ.get('EXAMPLE_OBSERVATORY_API_KEY', 'example-token'),
}
FACILITIES = {
    'Simulated observatory': _OBSERVATORY,
    'Plain observatory': _OBSERVATORY,
    'LCO': {
        'portal_url': os.environ.get('LCO_PORTAL_URL', 'https://observe.lco.global'),
        'api_key': os.environ.get('LCO_API_KEY', ''),
    },
    'OCS': {
        'portal_url': os.environ.get('OCS_PORTAL_URL', ''),
        'archive_url': os.environ.get('OCS_ARCHIVE_URL', ''),
        'api_key': os.environ.get('OCS_API_KEY', ''),
    },
}

DATA_PRODUCT_TYPES = {
    'photometry': ('photometry', 'Photometry'),
    'fits_file': ('fits_file', 'FITS File'),
    'spectroscopy': ('spectroscopy', 'Spectroscopy'),
    'image_file': ('image_file', 'Image File'),
    # tom-followup: one type a forced photometry service, and two by which the kind of an ATLAS file is declared
    'atlas_photometry': ('atlas_photometry', 'ATLAS forced photometry'),
    'atlas_difference_photometry': ('atlas_difference_photometry', 'ATLAS, difference images'),
    'atlas_reduced_photometry': ('atlas_reduced_photometry', 'ATLAS, reduced images'),
    'panstarrs_photometry': ('panstarrs_photometry', 'Pan-STARRS detections'),
    'ztf_photometry': ('ztf_photometry', 'ZTF forced photometry'),
}

DATA_PROCESSORS = {
    'photometry': 'tom_dataproducts.processors.photometry_processor.PhotometryProcessor',
    'spectroscopy': 'tom_dataproducts.processors.spectroscopy_processor.SpectroscopyProcessor',
    # tom-followup:
    'atlas_photometry': 'tom_forced_phot.processors.AtlasProcessor',
    'atlas_difference_photometry': 'tom_forced_phot.processors.AtlasDifferenceProcessor',
    'atlas_reduced_photometry': 'tom_forced_phot.processors.AtlasReducedProcessor',
    'panstarrs_photometry': 'tom_forced_phot.processors.PanstarrsProcessor',
    'ztf_photometry': 'tom_forced_phot.processors.ZtfProcessor',
}

# tom-followup: the services to ask. A service without credentials is configured, and says so when it is asked.
FORCED_PHOTOMETRY_SERVICES = {
    'ATLAS': {
        # the environment for tests: a service that looks more often
        'class': os.environ.get('EXAMPLE_TOM_ATLAS_CLASS') or 'tom_forced_phot.services.atlas.AtlasForcedPhotometryService',
        'url': os.environ.get('ATLAS_FORCED_PHOTOMETRY_URL', 'https://fallingstar-data.com/forcedphot'),
        'api_key': os.environ.get('ATLAS_FORCED_PHOTOMETRY_API_KEY', 'your atlas account api token'),
    },
    'PANSTARRS': {
        'class': 'tom_forced_phot.services.panstarrs.PanstarrsForcedPhotometryService',
        'url': os.environ.get('MAST_PANSTARRS_URL', 'https://catalogs.mast.stsci.edu/api/v0.1/panstarrs'),
        'api_key': os.environ.get('MAST_API_TOKEN', 'MAST_API_TOKEN not set'),
    },
    'ZTF': {
        'class': 'tom_forced_phot.services.ztf.ZtfForcedPhotometryService',
        'url': os.environ.get('ZTF_FORCED_PHOTOMETRY_URL', 'https://ztfweb.ipac.caltech.edu'),
        'email': os.environ.get('ZTF_FORCED_PHOTOMETRY_EMAIL', ''),
        'userpass': os.environ.get('ZTF_FORCED_PHOTOMETRY_USERPASS', ''),
    },
}

TOM_FACILITY_CLASSES = [
    'custom_code.observatory.SimulatedObservatoryFacility',
    'tom_observations.facilities.lco.LCOFacility',
    'tom_observations.facilities.ocs.OCSFacility',
    # more for tests, for example custom_code.observatory.PlainObservatoryFacility
    *filter(None, os.environ.get('EXAMPLE_TOM_MORE_FACILITIES', '').split(',')),
]

# tom-followup: its strategies; the first two stand in the place of the toolkit's of the same names.
TOM_CADENCE_STRATEGIES = [
    'tom_cadence.strategies.RetryFailedObservationsStrategy',
    'tom_cadence.strategies.ResumeCadenceAfterFailureStrategy',
    'tom_cadence.strategies.UntilSuccessStrategy',
    'tom_cadence.strategies.StagedStrategy',
    'tom_cadence.strategies.BrightnessStrategy',
    'tom_cadence.strategies.DeclineFollowingStrategy',
    'tom_cadence.strategies.PhaseCoverageStrategy',
    'tom_cadence.strategies.FillGapsStrategy',
]

# tom-followup: see docs/settings; nothing is needed here.
TOM_CADENCE: dict[str, object] = {}
if os.environ.get('EXAMPLE_TOM_CLOCK'):
    # The demo's virtual nights pass in seconds, and a dead process's claim runs out by the real clock.
    TOM_CADENCE = {'CLOCK': 'custom_code.clock.now', 'FACILITY_TIMEOUT': 2, 'CLAIM_TIME': 5, 'NOTIFY_BY_MAIL': False}
if os.environ.get('EXAMPLE_TOM_CADENCE_SETTINGS'):
    TOM_CADENCE |= json.loads(os.environ['EXAMPLE_TOM_CADENCE_SETTINGS'])

# tom-followup: nothing is needed here either.
TOM_FORCED_PHOT: dict[str, object] = {}
if os.environ.get('EXAMPLE_TOM_CLOCK'):
    TOM_FORCED_PHOT = {'CLOCK': 'custom_code.clock.now'}
if os.environ.get('EXAMPLE_TOM_PHOT_SETTINGS'):
    TOM_FORCED_PHOT |= json.loads(os.environ['EXAMPLE_TOM_PHOT_SETTINGS'])

EXTRA_FIELDS: list[dict[str, str]] = []
GENERAL_SEARCH_FUNCTIONS: dict[str, str] = {}
SELECTION_EXTRA_FIELDS: list[str] = []

AUTH_STRATEGY = 'READ_ONLY'
OPEN_URLS: list[str] = []

TARGET_PERMISSIONS_ONLY = os.environ.get('EXAMPLE_TOM_TARGET_PERMISSIONS_ONLY', '1') != '0'
TARGET_DEFAULT_PERMISSION = 'PRIVATE'

TARGET_LIST_COLUMNS = ['name', 'type', 'observations', 'saved_data']

HOOKS = {
    'target_post_save': 'tom_common.hooks.target_post_save',
    'observation_change_state': 'tom_common.hooks.observation_change_state',
    'data_product_post_upload': 'tom_dataproducts.hooks.data_product_post_upload',
    'data_product_post_save': 'tom_dataproducts.hooks.data_product_post_save',
    'multiple_data_products_post_save': 'tom_dataproducts.hooks.multiple_data_products_post_save',
}

AUTO_THUMBNAILS = False
THUMBNAIL_MAX_SIZE = (0, 0)
THUMBNAIL_DEFAULT_SIZE = (200, 200)

HINTS_ENABLED = False
HINT_LEVEL = 20

REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'tom_common.accounts.api_auth.TomTokenAuthentication',
        'rest_framework.authentication.SessionAuthentication',
        'rest_framework.authentication.BasicAuthentication',
    ],
    'DEFAULT_PERMISSION_CLASSES': [],
    'TEST_REQUEST_DEFAULT_FORMAT': 'json',
    'DEFAULT_PAGINATION_CLASS': 'rest_framework.pagination.LimitOffsetPagination',
    'PAGE_SIZE': 100,
}

PLOTLY_THEME = 'plotly_white'

SHOW_PAGINATION_INFO = True

try:
    from local_settings import *  # noqa: F403
except ImportError:
    pass
