"""Every setting of Leadstate, read from the environment; `.env.example` lists them all.

Unset, everything has a safe embedded default: SQLite, a broker made of files, mail into a local
mailbox. With `DEBUG=0` Leadstate refuses to start without SECRET_KEY, ALLOWED_HOSTS and SITE_URL.
"""

import urllib.parse
from pathlib import Path
from typing import Any

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.csp import CSP

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")


def required_when_live(name: str, *, default: Any, read: Any = env.str) -> Any:
    """Read the setting `name`; with DEBUG=0 it must be set (raises ImproperlyConfigured)."""
    if not DEBUG and not env.str(name, "").strip():
        raise ImproperlyConfigured(f"{name} must be set when DEBUG=0; .env.example says how.")
    return read(name, default=default)


# --- the basics ---------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = required_when_live("SECRET_KEY", default="only-for-development-and-demo-never-in-production")
ALLOWED_HOSTS = required_when_live("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"], read=env.list)
SITE_URL = required_when_live("SITE_URL", default="http://localhost:8000").rstrip("/")
if urllib.parse.urlsplit(SITE_URL).scheme not in {"http", "https"}:
    raise ImproperlyConfigured(f"SITE_URL must begin with http:// or https://, not {SITE_URL!r}.")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL])
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / ".var")))
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True
LANGUAGE_CODE = "en-us"
USE_I18N = False

ROOT_URLCONF = "crm.urls"
WSGI_APPLICATION = "crm.wsgi.application"
AUTH_USER_MODEL = "leads.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False  # A redirected POST would lose its body; urls.py says which pages end with a slash.
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "leads:board"
LOGOUT_REDIRECT_URL = "login"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "bootstrap",
    "django_htmx",
    "django_structlog",
    "lucide",
    "leads",
    "campaigns",
    "crm",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "crm.middleware.admin_csp",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "crm.middleware.local_times",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in [
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    ]
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "registration/locked_out.html"

# --- database -----------------------------------------------------------------------------------
DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'leadstate.sqlite3'}")
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # FULL: an answer of 200 means the event survives a power cut. IMMEDIATE: no lock upgrades, no "database is locked".
    DATABASES["default"]["CONN_MAX_AGE"] = 60  # opening the file costs more than a request
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"].setdefault("OPTIONS", {})
    if env.bool("DATABASE_POOL", default=False):  # in the web process only; workers open one connection each
        DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 10, "timeout": 5}
    else:
        DATABASES["default"]["OPTIONS"]["connect_timeout"] = 5
else:
    raise ImproperlyConfigured("DATABASE_URL must be sqlite:///… or postgres://…; other databases are not supported.")

# --- background work ----------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
if CELERY_BROKER_URL.startswith("filesystem"):  # one machine, no server: a folder is the broker
    for folder in (VAR_DIR / "broker" / "queue", VAR_DIR / "broker" / "control"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(VAR_DIR / "broker" / "queue"),
        "data_folder_out": str(VAR_DIR / "broker" / "queue"),
        "control_folder": str(VAR_DIR / "broker" / "control"),
        "polling_interval": 0.2,
    }
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat-schedule")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # safe: a task only claims rows, and claims are counted
CELERY_TASK_TIME_LIMIT = 1080
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"

# --- mail ---------------------------------------------------------------------------------------
EMAIL_URL = env.str("EMAIL_URL", default="mailbox://")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Leadstate <hello@leadstate.invalid>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
REPLY_TO = env.str("REPLY_TO", default="")
SENDER_NAME = env.str("SENDER_NAME", default="")
SENDER_ADDRESS = env.str("SENDER_ADDRESS", default="")
MAILBOX_DIR = VAR_DIR / "mailbox"


def mailer_from_url(url: str) -> dict[str, Any]:
    """Turn EMAIL_URL into one entry of Django's MAILERS.

    `smtp://user:password@host:587/?tls=1` (STARTTLS), `smtps://…:465` (TLS from the first byte),
    `mailbox://` (a folder on this machine, read at /mailbox/; nothing goes out).
    Raises ImproperlyConfigured for any other scheme, or smtp without a host.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "mailbox":
        return {"BACKEND": "campaigns.transport.MailboxBackend", "OPTIONS": {"folder": str(MAILBOX_DIR)}}
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ImproperlyConfigured(f"EMAIL_URL must be smtp://host:port, smtps://host:port or mailbox://, not {url!r}.")
    query = dict(urllib.parse.parse_qsl(parts.query))
    options: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or (465 if parts.scheme == "smtps" else 25),
        "timeout": 60,
        "use_ssl": parts.scheme == "smtps",
        "use_tls": query.get("tls", "0") in {"1", "true"},
    }
    if parts.username:
        options["username"] = urllib.parse.unquote(parts.username)
        options["password"] = urllib.parse.unquote(parts.password or "")
    return {"BACKEND": "campaigns.transport.SMTPBackend", "OPTIONS": options}


MAILERS = {"default": mailer_from_url(EMAIL_URL)}

# --- Leadstate ----------------------------------------------------------------------------------
MARKETING_CONSENT = env.str("MARKETING_CONSENT", default="opt_in")
if MARKETING_CONSENT not in {"opt_in", "opt_out"}:
    raise ImproperlyConfigured(f"MARKETING_CONSENT must be opt_in or opt_out, not {MARKETING_CONSENT!r}.")
STORE_IP = env.bool("STORE_IP", default=False)
# The key of the address hashes that carry suppression and consent. Never change it: opt-outs would be forgotten.
ADDRESS_HASH_KEY = env.str("ADDRESS_HASH_KEY", default=SECRET_KEY)
CHAT_WEBHOOK_URL = env.str("CHAT_WEBHOOK_URL", default="")
# Hosts on a private network that the chat webhook may reach all the same.
PRIVATE_HOSTS_ALLOWED = env.list("PRIVATE_HOSTS_ALLOWED", default=[])
WORKING_HOURS = env.str("WORKING_HOURS", default="mon-fri 09:00-17:00")
# More waiting deliveries than this from one source are answered 429 with Retry-After.
MAX_BACKLOG = env.int("MAX_BACKLOG", default=20_000)
EVIDENCE_POINTS = env.int("EVIDENCE_POINTS", default=20)

# --- security -----------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
# Machines post to these; a redirect would make their clients drop the event.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^api/", r"^v1/"]
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if DEBUG else env.int("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEBUG
SECURE_HSTS_PRELOAD = not DEBUG
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_AGE = 7 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_CSP: dict[str, list[str]] = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 9 * 1024 * 1024  # the doors for machines read with limits of their own, leads/api.py

# --- static files -------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage" if DEBUG else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

# --- logs ---------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.dev.ConsoleRenderer(colors=False) if DEBUG else structlog.processors.JSONRenderer(),
            "foreign_pre_chain": SHARED_PROCESSORS,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"django.server": {"level": "WARNING"}, "axes": {"level": "WARNING"}, "kombu": {"level": "ERROR"}},
}
structlog.configure(
    processors=[*SHARED_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = STORE_IP

UNFOLD = {
    "SITE_TITLE": "Leadstate",
    "SITE_HEADER": "Leadstate",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/leadstate.svg")}],
    "SHOW_HISTORY": True,
    "COLORS": {
        "primary": {  # our indigo, static/css/tokens.css
            step: f"oklch({lightness} {chroma} 275)"
            for step, lightness, chroma in [
                ("50", 0.97, 0.015),
                ("100", 0.94, 0.03),
                ("200", 0.88, 0.06),
                ("300", 0.8, 0.1),
                ("400", 0.7, 0.15),
                ("500", 0.6, 0.19),
                ("600", 0.53, 0.2),
                ("700", 0.46, 0.18),
                ("800", 0.39, 0.15),
                ("900", 0.33, 0.12),
                ("950", 0.24, 0.09),
            ]
        },
    },
}
