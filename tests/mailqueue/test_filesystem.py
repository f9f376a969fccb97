"""Which file systems a queue may lie on, by the text of /proc/self/mountinfo."""

import pytest

from asyncnet.mailqueue.filesystem import network_kind

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:40 / /home rw,relatime shared:1 - nfs4 server.test:/home rw,vers=4.2
31 30 254:1 / /home/local rw,relatime - xfs /dev/vdb rw
32 27 0:41 / /mnt/two\040words rw - cifs //server.test/share rw
33 27 0:42 / /mnt/ssh rw - fuse.sshfs user@server.test: rw
34 27 0:43 / /mnt/zip rw - fuse.archivemount archive rw
35 27 0:44 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
36 27 0:45 / /mnt/c rw - 9p C:\134 rw
37 27 0:46 / /mnt/over rw - nfs server.test:/x rw
38 37 0:47 / /mnt/over rw - tmpfs tmpfs rw
39 27 0:48 / /srv rw master:1 propagate_from:2 - smb3 //server.test/srv rw
""".lstrip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/spool/asyncnet/queue.db", None),
        ("/", None),
        ("/home/me/queue.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homeless/queue.db", None),
        ("/home/local/queue.db", None),
        ("/mnt/two words/queue.db", "cifs"),
        ("/mnt/ssh/queue.db", "fuse.sshfs"),
        ("/mnt/zip/queue.db", None),
        ("/mnt/ntfs/queue.db", None),
        ("/mnt/c/queue.db", "9p"),
        ("/mnt/over/queue.db", None),
        ("/srv/queue.db", "smb3"),
    ],
)
def test_the_nearest_mount_decides(path: str, kind: str | None) -> None:
    assert network_kind(path, MOUNTS) == kind


def test_nothing_known_is_nothing_refused() -> None:
    assert network_kind("/queue.db", "") is None
