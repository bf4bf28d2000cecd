"""Signatures of packages: Ed25519 (RFC 8032) over the manifest, which holds the sum of every file.

Keys are made and kept by other tools, and come as files:

    openssl genpkey -algorithm ed25519 -out signing.pem
    openssl pkey -in signing.pem -pubout -out signing.pub

MODELYARD_SIGNING_KEY_FILE names the private key where packages are made or registered,
MODELYARD_PUBLIC_KEY_FILE the public keys (one PEM block after the other) where they are served.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import BrokenArtifact, MissingExtra, UsageError
from modelyard.store import contents
from modelyard.store.artifact import MANIFEST, SIGNATURE, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNING_KEY, PUBLIC_KEY = "MODELYARD_SIGNING_KEY_FILE", "MODELYARD_PUBLIC_KEY_FILE"
_PURPOSE = b"modelyard package manifest 1\n"
"""Stands before what is signed: a signature made for another purpose is none for a package."""
_MOST = 64 * 1024
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


def sign(package: Path, key: Path | None = None) -> bool:
    """Signs a package where a private key is named; returns whether one is.

    Raises:
        UsageError: the key cannot be used; MissingExtra: cryptography is not installed.
    """
    if key is None and os.environ.get(SIGNING_KEY):
        key = Path(os.environ[SIGNING_KEY])
    if key is None:
        return False
    # Ed25519 gives the same signature each time: signing a signed package again changes nothing.
    signature = _private_key(key).sign(_PURPOSE + (Path(package) / MANIFEST).read_bytes())
    text = base64.b64encode(signature).decode() + "\n"
    file = Path(package) / SIGNATURE
    if not file.is_file() or file.read_text() != text:
        write_text(file, text)
    return True


def check(package: Path, keys: Path) -> None:
    """Refuses a package that none of the public keys in a file has signed.

    Raises:
        BrokenArtifact: it is not signed, or by another key, or was changed since.
        UsageError: the file holds no key; MissingExtra: cryptography is not installed.
    """
    known = _public_keys(keys)
    from cryptography.exceptions import InvalidSignature

    signed = _PURPOSE + (Path(package) / MANIFEST).read_bytes()
    try:
        signature = base64.b64decode(
            contents.read_text(Path(package) / SIGNATURE, _MOST).strip(), validate=True
        )
    except FileNotFoundError:
        sign_it = f"Sign it where it is made: set {SIGNING_KEY}, or type: modelyard sign PACKAGE --key FILE"
        raise BrokenArtifact(
            f"{package} is not signed, and {PUBLIC_KEY} asks for a signature. {sign_it}"
        ) from None
    except (OSError, UnicodeDecodeError, binascii.Error):
        raise BrokenArtifact(f"{package}/{SIGNATURE} cannot be read as a signature") from None
    # Any of them: a key is replaced by serving with the old and the new one for a while.
    for key in known:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return
    raise BrokenArtifact(
        f"{package}: its signature is by none of the {len(known)} public keys in {keys}, or it was changed since"
    )


def _private_key(file: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise MissingExtra("signing packages", "sign") from None
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise UsageError(f"{SIGNING_KEY}: {file} cannot be used: {error.strerror}") from None
    except (ValueError, TypeError):  # TypeError: it asks for a password
        said = "it is no private key in PEM form without a password"
        raise UsageError(f"{SIGNING_KEY}: {file} cannot be used: {said}") from None
    if not isinstance(key, Ed25519PrivateKey):
        made = "Type: openssl genpkey -algorithm ed25519 -out signing.pem"
        raise UsageError(f"{SIGNING_KEY}: {file} is no Ed25519 key. {made}")
    return key


def _public_keys(file: Path) -> list[Ed25519PublicKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError:
        raise MissingExtra("checking signatures", "sign") from None
    try:
        keys = [load_pem_public_key(block) for block in _BLOCK.findall(file.read_bytes())]
    except OSError as error:
        raise UsageError(f"{PUBLIC_KEY}: {file} cannot be used: {error.strerror}") from None
    except ValueError:
        said = "it is no public key in PEM form"
        raise UsageError(f"{PUBLIC_KEY}: {file} cannot be used: {said}") from None
    # Another kind of key could never fit a signature: refused here rather than passed over.
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not found or len(found) < len(keys):
        made = "Type: openssl pkey -in signing.pem -pubout -out signing.pub"
        raise UsageError(f"{PUBLIC_KEY}: {file} must hold nothing but Ed25519 public keys. {made}")
    return found
