"""The tables of ``gatepost.toml`` and their keys with defaults.

``config/gatepost.toml`` explains each key; a test compares the two. Times in seconds, sizes in octets.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings.values import (
    Asker,
    AskerKinds,
    AskerListeners,
    BoundRules,
    CookieOpenings,
    Count,
    CutCommand,
    DemandedOf,
    Directory,
    DomainNames,
    DoveadmUrl,
    EnvoyListeners,
    Files,
    Form,
    FreezeHours,
    HaproxyListeners,
    HostName,
    ImapListeners,
    ImapServer,
    Listeners,
    MailDomain,
    MailServers,
    MapPath,
    MemorySize,
    Networks,
    NoticeAddress,
    NoticeServer,
    Number,
    OneLine,
    Openings,
    Places,
    Pop3Listeners,
    Pop3Server,
    PostfixListeners,
    PublicUrl,
    RedisUrl,
    RuntimeUrls,
    Seconds,
    ServedPaths,
    SmtpListeners,
    SmtpServer,
    StorageUrl,
    TimeZone,
    TokenUrl,
    WebhookSecret,
    WebhookUrl,
    listed,
    tabled,
    tabled_cuts,
)


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GatewaySection(Section):
    """[gateway]"""

    data_dir: Directory = "var"
    workers: Annotated[int, Field(ge=1, le=256), Number] | Literal["auto"] = 1
    drain_seconds: Seconds = 25.0


class StorageSection(Section):
    """[storage]"""

    url: StorageUrl = Field("", repr=False)


class RedisSection(Section):
    """[redis]"""

    url: RedisUrl = Field("embedded", repr=False)
    ca: str = ""
    binary: str = ""
    maxmemory: MemorySize = "256mb"


class CertificateFiles(Section):
    """One of [tls] names."""

    certificate: str
    key: str = ""


class TlsSection(Section):
    """[tls]"""

    certificate: str = ""
    key: str = ""
    names: Annotated[list[CertificateFiles], BeforeValidator(tabled)] = []
    client_ca: str = ""
    client_crl: str = ""
    client_certificate: Literal["optional", "required"] = "optional"
    minimum: Literal["1.2", "1.3"] = "1.2"


class HttpSection(Section):
    """[http]"""

    listen: Listeners = ["http://127.0.0.1:8080"]
    upstream: MailServers = []
    upstream_ca: str = ""
    public_url: PublicUrl = ""
    trusted_proxies: Networks = []
    max_head_bytes: Annotated[int, Field(ge=4096, le=1 << 20), Number] = 32_768
    max_body_bytes: Count = 104_857_600
    head_seconds: Seconds = 15.0
    body_seconds: Seconds = 60.0
    idle_seconds: Seconds = 120.0
    write_seconds: Seconds = 120.0
    max_connections: Count = 20_000
    max_connections_per_address: Count = 2_000
    requests_per_connection: Count = 10_000
    tls_handshake_seconds: Seconds = 10.0
    sessions_per_user: Count = 64
    parked_per_device: Count = 8
    upstream_connections: Count = 20_000
    upstream_connect_seconds: Seconds = 10.0
    upstream_idle_seconds: Seconds = 4.0
    upstream_response_seconds: Seconds = 120.0
    parked_seconds: Annotated[float, Field(ge=3_660, le=86_400), Number] = 3_900.0
    retry_after_seconds: Annotated[int, Field(ge=1, le=3_600), Number] = 30


class WebmailSection(Section):
    """[webmail]"""

    ews: Openings = []
    mapi: Openings = []
    owa: CookieOpenings = []
    dav: Openings = []
    jmap: Openings = []
    dav_paths: ServedPaths = ["/SOGo/dav", "/dav", "/caldav", "/carddav", "/principals"]
    jmap_paths: ServedPaths = ["/jmap"]
    connection_bound: BoundRules = []
    bound_connections: Count = 2_000
    bound_login_seconds: Seconds = 15.0


class MailSection(Section):
    """What [imap] and [pop3] have alike."""

    listen: list[str] = []
    upstream: str = ""
    upstream_ca: str = ""
    client_address: Literal["protocol", "proxy-v1", "proxy-v2", "none"] = "protocol"
    trusted_proxies: Networks = []
    cleartext_login: bool = False
    allow_unauthenticate: bool = False
    max_connections: Count = 20_000
    max_connections_per_address: Count = 2_000
    sessions_per_user: Count = 100
    login_seconds: Seconds = 60.0
    tls_handshake_seconds: Seconds = 10.0
    idle_seconds: Annotated[float, Field(ge=1_800, le=86_400), Number] = 2_100.0
    upstream_connect_seconds: Seconds = 10.0
    upstream_login_seconds: Seconds = 60.0


class ImapSection(MailSection):
    """[imap]"""

    listen: ImapListeners = []
    upstream: ImapServer = ""
    refusal: Literal["words", "notice"] = "words"


class Pop3Section(MailSection):
    """[pop3]"""

    listen: Pop3Listeners = []
    upstream: Pop3Server = ""


class SmtpSection(Section):
    """[smtp]"""

    listen: SmtpListeners = []
    upstream: SmtpServer = ""
    upstream_ca: str = ""
    name: HostName = ""
    client_address: Literal["protocol", "proxy-v1", "proxy-v2", "none"] = "protocol"
    trusted_proxies: Networks = []
    cleartext_login: bool = False
    max_message_bytes: Count = 104_857_600
    memory_bytes: Count = 134_217_728
    max_recipients: Count = 1_000
    failed_logins: Count = 3
    max_connections: Count = 5_000
    max_connections_per_address: Count = 500
    sessions_per_user: Count = 20
    tls_handshake_seconds: Seconds = 10.0
    login_seconds: Seconds = 60.0
    idle_seconds: Seconds = 300.0
    data_seconds: Seconds = 180.0
    message_seconds: Seconds = 3_600.0
    upstream_connect_seconds: Seconds = 10.0
    upstream_command_seconds: Seconds = 60.0
    upstream_reply_seconds: Seconds = 600.0


class CutSection(Section):
    """One of [authz] cuts."""

    askers: Annotated[list[Asker], Field(min_length=1), BeforeValidator(listed)]
    doveadm: DoveadmUrl = ""
    key_file: str = ""
    ca: str = ""
    command: CutCommand = []
    remembered_seconds: Annotated[float, Field(ge=60, le=30 * 86_400), Number] = 86_400.0


class AuthzSection(Section):
    """[authz]"""

    listen: AskerListeners = []
    key_files: Files = []
    client_ca: str = ""
    certificates_from: AskerKinds = []
    answer_seconds: Annotated[float, Field(gt=0, le=5), Number] = 0.1
    head_seconds: Seconds = 10.0
    idle_seconds: Seconds = 320.0
    max_connections: Count = 2_000
    retry_after_seconds: Annotated[int, Field(ge=1, le=3_600), Number] = 30
    dovecot_proved: bool = False
    mail_servers: Places = {}
    cuts: Annotated[list[CutSection], BeforeValidator(tabled_cuts)] = []


class HaproxySection(Section):
    """[haproxy]"""

    listen: HaproxyListeners = []
    runtime: RuntimeUrls = []
    map: MapPath = ""


class PostfixSection(Section):
    """[postfix]"""

    listen: PostfixListeners = []


class EnvoySection(Section):
    """[envoy]"""

    listen: EnvoyListeners = []


class IdentitySection(Section):
    """[identity]"""

    default_domain: MailDomain = ""
    domains: DomainNames = {}
    token_claim: str = ""
    certificate_user: Literal["none", "cn", "email", "upn"] = "none"
    certificate_device: Literal["none", "cn", "subject_serial", "dns", "uri", "fingerprint"] = "none"
    certificate_device_form: Form = "{}"
    certificate_device_key: Literal[
        "serial", "udid", "imei", "meid", "entra_device_id", "mdm_id", "cert_sha256", "subject"
    ] = "serial"
    demand: DemandedOf = {}


class AdminSection(Section):
    """[admin]"""

    listen: Listeners = ["http://127.0.0.1:8090"]
    max_connections: Count = 500
    head_seconds: Seconds = 15.0
    max_body_bytes: Count = 8_388_608
    body_seconds: Seconds = 30.0


class HealthSection(Section):
    """[health]"""

    listen: Listeners = ["http://127.0.0.1:8092"]


class InventorySection(Section):
    """[inventory]"""

    listen: Listeners = ["http://127.0.0.1:8091"]
    max_connections: Count = 500
    head_seconds: Seconds = 15.0
    max_body_bytes: Count = 1_048_576
    max_unpacked_bytes: Count = 4_194_304
    max_apps: Annotated[int, Field(ge=1, le=5_000), Number] = 5_000
    body_seconds: Seconds = 30.0
    memory_bytes: Count = 67_108_864
    reports_at_once: Count = 512
    claims_per_name: Count = 50
    history_days: Annotated[int, Field(ge=0, le=3_650), Number] = 30
    silent_days: Annotated[int, Field(ge=0, le=3_650), Number] = 365


class DecisionSection(Section):
    """[decision]"""

    cache_people: Count = 200_000
    state_bound_seconds: Seconds = 900.0


class ChangesSection(Section):
    """[changes]"""

    second_person: bool = True
    most_devices: Annotated[int, Field(ge=0), Number] = 50
    most_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), Number] = 1.0
    at_least: Count = 5
    widest_percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False), Number] = 20.0
    approval_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False), Number] = 24.0
    freeze: FreezeHours = []
    freeze_time_zone: TimeZone = "UTC"
    vip_group: str = ""


class BrakeSection(Section):
    """[brake]"""

    most_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), Number] = 1.0
    at_least: Count = 20
    stop_ageing: bool = True
    hold_hits: bool = False
    release_hours: Annotated[float, Field(gt=0, le=168, allow_inf_nan=False), Number] = 24.0


class AuditSection(Section):
    """[audit]"""

    retention_days: Annotated[int, Field(ge=0, le=36_500), Number] = 730
    checkpoint_seconds: Seconds = 300.0
    checkpoint_entries: Count = 10_000
    webhook: WebhookUrl = ""
    webhook_secret: WebhookSecret = Field("", repr=False)
    webhook_ca: str = ""


class NoticesSection(Section):
    """[notices]"""

    sender: NoticeAddress = ""
    sender_name: OneLine = "Mail access"
    reply_to: NoticeAddress = ""
    server: NoticeServer = ""
    server_ca: str = ""
    login: Literal["password", "ntlm", "oauth"] = "password"
    username: str = ""
    password: str = Field("", repr=False)
    token_url: TokenUrl = ""
    token_scope: str = "https://outlook.office365.com/.default"  # noqa: S105  (a URL)
    impersonate: bool = False
    choose_message_id: bool = False
    bounces: ImapServer = ""
    bounces_username: str = ""
    bounces_password: str = Field("", repr=False)
    connections: Annotated[int, Field(ge=1, le=20), Number] = 2
    per_second: Annotated[float, Field(gt=0, le=1_000), Number] = 10.0
    handover_seconds: Annotated[float, Field(ge=10, le=600), Number] = 120.0
    answer_seconds: Annotated[float, Field(ge=30, le=1_800), Number] = 600.0
    alarm_seconds: Annotated[float, Field(ge=60, le=86_400), Number] = 900.0
    hold_seconds: Annotated[float, Field(ge=0, le=7 * 86_400), Number] = 600.0
    expires_seconds: Annotated[float, Field(ge=600, le=30 * 86_400), Number] = 86_400.0
    first_batch: Count = 20
    batch_factor: Annotated[float, Field(ge=1, le=100), Number] = 4.0
    largest_batch: Annotated[int, Field(ge=1, le=20_000), Number] = 5_000
    batch_seconds: Annotated[float, Field(ge=0, le=86_400), Number] = 300.0
    day_begins_hour: Annotated[int, Field(ge=4, le=12), Number] = 8
    day_ends_hour: Annotated[int, Field(ge=13, le=23), Number] = 20
    language: str = "en"
    time_zone: TimeZone = "UTC"
    ask: str = ""
    elsewhere: str = ""
    templates: str = ""
    tell: Literal["warning-first", "with-the-cut", "never"] = "warning-first"
    warned_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False), Number] = 48.0
    later: bool = False
    listen: Listeners = []
    link: PublicUrl = ""
    max_connections: Count = 200


class LogSection(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(BaseSettings):
    """All settings. Built by ``load_settings``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    gateway: GatewaySection = GatewaySection()
    storage: StorageSection = StorageSection()
    redis: RedisSection = RedisSection()
    tls: TlsSection = TlsSection()
    http: HttpSection = HttpSection()
    webmail: WebmailSection = WebmailSection()
    imap: ImapSection = ImapSection()
    pop3: Pop3Section = Pop3Section()
    smtp: SmtpSection = SmtpSection()
    authz: AuthzSection = AuthzSection()
    haproxy: HaproxySection = HaproxySection()
    postfix: PostfixSection = PostfixSection()
    envoy: EnvoySection = EnvoySection()
    identity: IdentitySection = IdentitySection()
    admin: AdminSection = AdminSection()
    health: HealthSection = HealthSection()
    inventory: InventorySection = InventorySection()
    decision: DecisionSection = DecisionSection()
    changes: ChangesSection = ChangesSection()
    brake: BrakeSection = BrakeSection()
    audit: AuditSection = AuditSection()
    notices: NoticesSection = NoticesSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load_settings`` hands in: it merges file and environment, to tell where a value is from."""
        return (init_settings,)
