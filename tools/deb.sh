#!/usr/bin/env bash
# A Debian package of the program that is built: tools/deb.sh BUILD_FOLDER [PROGRAM], prints its path. Dependencies come from
# dpkg-shlibdeps; DEBFULLNAME and DEBEMAIL name the maintainer. Needs dpkg-dev and neither root nor debhelper. PROGRAM: package this one and do not build.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath -m "${1:-build}")
if [ -z "${2:-}" ]; then
  cmake -G Ninja -S . -B "$build" -DLANCET_TESTS=OFF >&2
  cmake --build "$build" -j "${JOBS:-$(nproc)}" >&2
fi
maintainer="${DEBFULLNAME:-Lancet} <${DEBEMAIL:-lancet@localhost}>"
version=$(sed -n 's/^project(lancet VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d "$build/deb.XXXXXX")
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
root=$stage/lancet
umask 022

DESTDIR=$root cmake --install "$build" --prefix /usr --strip >&2
mkdir -p "$root/lib/systemd" "$root/usr/share/zsh" "$root/DEBIAN" "$root/etc/default" "$root/usr/share/lintian/overrides"
mv "$root/usr/lib/systemd/system" "$root/lib/systemd/system"   # where Debian 12 has them
rmdir "$root/usr/lib/systemd" "$root/usr/lib"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
gzip -9n "$root/usr/share/man/man1/lancet.1"
cp deploy/lancet.default "$root/etc/default/lancet"
echo /etc/default/lancet > "$root/DEBIAN/conffiles"

documents=$root/usr/share/doc/lancet
{ printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: lancet\n\n'
  printf 'Files: *\nCopyright: 2026 the authors of Lancet\nLicense: Apache-2.0\n'
  printf ' On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.\n'; } > "$documents/copyright"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
printf 'lancet (%s) unstable; urgency=medium\n\n  * Built from the source tree.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -R -u -d "@$epoch")" | gzip -9n > "$documents/changelog.gz"
# A build of one's own closes no bug of the archive.
printf '%s\n' 'lancet: initial-upload-closes-no-bugs' > "$root/usr/share/lintian/overrides/lancet"

# dpkg-shlibdeps wants a source package to look at.
mkdir -p "$stage/debian"
printf 'Source: lancet\n\nPackage: lancet\nArchitecture: any\n' > "$stage/debian/control"
depends=$(cd "$stage" && dpkg-shlibdeps -O "$root/usr/bin/lancet" | sed -n 's/^shlibs:Depends=//p')

cat > "$root/DEBIAN/control" <<CONTROL
Package: lancet
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Section: science
Priority: optional
Description: local model server that an agent can trust
 Runs language models in the formats in which they are published (safetensors
 and GGUF) on an ordinary computer, behind an OpenAI-style API on port 8111 or
 from the command line.
CONTROL
for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
find "$root" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group --build "$root" "$build/lancet_${version}_$architecture.deb" >&2
echo "$build/lancet_${version}_$architecture.deb"
