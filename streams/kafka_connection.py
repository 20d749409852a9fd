"""How to reach a Kafka cluster, and what its errors mean for the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLCertVerificationError, create_default_context
from typing import Any, Final

from aiokafka import errors as kafka
from aiokafka.conn import collect_hosts, create_conn

from schemas.errors import Fatal, InverError, Poison, Retryable

#: Waiting longer changes nothing: every cause is in the record, the configuration or the permissions.
_FATAL: Final = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.ClusterAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.IllegalSaslStateError,
    kafka.IncompatibleBrokerVersion,
    kafka.InconsistentGroupProtocolError,
    kafka.InvalidConfigurationError,
    kafka.InvalidGroupIdError,
    kafka.InvalidPartitionsError,
    kafka.InvalidReplicationFactorError,
    kafka.InvalidSessionTimeoutError,
    kafka.InvalidTopicError,
    kafka.KafkaConfigurationError,
    kafka.PolicyViolationError,
    kafka.SaslAuthenticationFailed,
    kafka.TopicAuthorizationFailedError,
    kafka.UnrecognizedBrokerVersion,
    kafka.UnsupportedCodecError,
    kafka.UnsupportedSaslMechanismError,
    kafka.UnsupportedVersionError,
)
_OVERSIZED: Final = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """TLS and SASL. Without SASL the client is known by its certificate, if it has one."""

    tls: bool = True
    #: None trusts the system's authorities.
    authority_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    #: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def options(self) -> dict[str, Any]:
        """Return what every aiokafka client takes. Raises Fatal when a file can't be read."""
        options: dict[str, Any] = {"security_protocol": self._protocol()}
        if self.tls:
            try:
                options["ssl_context"] = create_default_context(cafile=self.authority_file)
                if self.certificate_file is not None:
                    options["ssl_context"].load_cert_chain(self.certificate_file, self.key_file)
            except OSError as error:
                raise Fatal(f"Kafka's TLS files can't be used: {error}; check their paths and contents") from error
        if self.sasl_mechanism is not None:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def _protocol(self) -> str:
        if self.sasl_mechanism is None:
            return "SSL" if self.tls else "PLAINTEXT"
        return "SASL_SSL" if self.tls else "SASL_PLAINTEXT"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where the cluster is. ``security`` None is plaintext."""

    bootstrap_servers: str
    security: KafkaSecurity | None = None
    client_id: str = "inver"

    def options(self) -> dict[str, Any]:
        """Return what a single connection takes."""
        security = self.security.options() if self.security is not None else {}
        return {"client_id": self.client_id, **security}

    def client_options(self) -> dict[str, Any]:
        """Return the options with the servers to ask first."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.options()}


def translate(error: Exception, what: str) -> InverError:
    """Map a client's error to what the caller has to do."""
    text = f"Kafka: {what} failed: {type(error).__name__} {error}"
    if isinstance(error, _OVERSIZED):
        return Poison("oversized", f"{text}; split the record, or raise the topic's max.message.bytes")
    if isinstance(error, _FATAL):
        return Fatal(f"{text}; check credentials, permissions and topic settings")
    return Retryable(f"{text}; if it lasts, look whether the brokers run and can be reached")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise this project's error in place of the client's."""
    try:
        yield
    except NotImplementedError as error:
        raise Fatal(f"Kafka: {what} failed: {error}; Kafka 2.8 or newer is needed") from error
    except (kafka.KafkaError, kafka.ConsumerStoppedError, OSError, TimeoutError) as error:
        raise translate(error, what) from error


async def connect(
    connection: KafkaConnection, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    """Start a client, or stop it and raise Fatal for refused credentials, Retryable for an absent cluster."""
    try:
        with translated(f"connecting to {connection.bootstrap_servers}"):
            await start()
    except Retryable:
        await stop()
        await _raise_refusal(connection)
        raise
    except BaseException:
        await stop()
        raise


async def _raise_refusal(connection: KafkaConnection) -> None:
    """Ask each server why: a client that can't connect logs its reason and raises another one."""
    for host, port, _ in collect_hosts(connection.bootstrap_servers, randomize=False):
        try:
            (await create_conn(host, port, **connection.options())).close()
        except (*_FATAL, SSLCertVerificationError) as error:
            raise Fatal(
                f"Kafka at {host}:{port} refuses this client, or is refused by it: {type(error).__name__} {error}; "
                "check the user, the password, the mechanism and the certificates"
            ) from error
        except (kafka.KafkaError, OSError):
            # Absent rather than refusing; the first error says so.
            continue
