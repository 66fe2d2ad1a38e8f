"""A certificate for 127.0.0.1 and keys, made anew by every test run and trusted by nobody."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path) -> Path:
    """Write ``cert.pem`` with its ``key.pem``, ``locked_key.pem`` (the same with a pass phrase) and
    ``other_key.pem``; gives the folder.
    """
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    locked = serialization.BestAvailableEncryption(b"a pass phrase")
    _write_key(folder / "key.pem", key, serialization.NoEncryption())
    _write_key(folder / "locked_key.pem", key, locked)
    _write_key(
        folder / "other_key.pem", ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption()
    )
    return folder


def _write_key(
    path: Path, key: ec.EllipticCurvePrivateKey, lock: serialization.KeySerializationEncryption
) -> None:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, lock)
    )
