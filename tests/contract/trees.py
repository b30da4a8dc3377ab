"""Trees that agents leave, as the commands that make them."""

from tests.git_repositories import FILES

CHANGES = r"""
rm src/main.py
printf 'a\000b\377\n' > binary
mkdir new
git mv poem.txt new/poem.txt
echo 'one line more' >> new/poem.txt
chmod +x run.sh
ln -s ../README.md new/link
echo odd > 'a name with space
newline and "quote" é'
printf 'no newline at the end' >> README.md
git add README.md
git -c user.name=a -c user.email=a@b commit --quiet --message='committed by the agent'
echo staged > staged.txt
git add staged.txt
"""
"""What an agent may do to a repository: a deletion, a binary file, a rename, a mode, a symlink, odd names, commits."""

CHANGED = {
    **FILES,
    "poem.txt": "".join(f"line {number} of a poem\n" for number in range(40)),
    "run.sh": "#!/bin/sh\n",
    "same.txt": "nobody touches this\n",
    "picture": bytes(range(256)) * 20,
}

TREES = {
    "new": "echo new > new.txt; mkdir -p a/b/c; echo deep > a/b/c/new.txt; : > empty",
    "deleted": "rm -r src poem.txt",
    "everything deleted": "rm -r src; rm *",
    "binary": r"printf 'a\000b\377\n' > binary; printf x >> picture; head -c 70000 /dev/zero > zeros",
    "mode": "chmod +x run.sh; echo x > tool; chmod 755 tool",
    "rename": "mkdir new; mv poem.txt new/verse.txt; echo more >> new/verse.txt; mv picture new/image",
    "copy": "cp poem.txt copy.txt; echo more >> poem.txt",
    "symlink": "ln -s README.md in; ln -s /etc/passwd out; ln -s nowhere/at/all dangling; ln -s . loop",
    "file to symlink": "rm README.md; ln -s same.txt README.md",
    "file to folder": "rm README.md; mkdir README.md; echo x > README.md/file",
    "folder to file": "rm -r src; echo file > src",
    "folder to symlink": "mv src source; ln -s source src",
    "line ends": r"printf 'a\r\nb\r\n' > dos.txt; printf 'no newline' > same.txt; printf '\n\n' >> poem.txt",
    "odd names": """
        echo 1 > 'new
line'; echo 2 > 'quote"'"'"; echo 3 > 'back\\slash'; echo 4 > -dash; echo 5 > ' space '; echo 6 > 'tab	'; echo 7 > é
        echo 8 > '*'; echo 9 > ':(top)x'; echo 10 > "$(printf 'no\\377utf8')"; echo 11 > "$(printf '%0255d')"; mkdir ...
        echo 12 > '.../a b'; echo 13 > .gitmodules""",
    "attributes": "echo '* text=auto eol=crlf filter=lfs diff=x -merge' > .gitattributes; echo x >> README.md",
    "unreadable": """
        echo secret > new.txt; echo more >> poem.txt; mkdir -p closed/folder; echo x > closed/folder/file
        chmod 000 new.txt poem.txt run.sh closed/folder closed; chmod 111 src""",
    "hard links": "ln same.txt linked; echo more >> linked",
    "many": "mkdir many; cd many; for i in $(seq 500); do echo $i > $i; done",
}
"""Each with a difference from `CHANGED`."""

_COMMIT = "git -c user.name=a -c user.email=a@b commit --quiet --all --message=x"
SAME_BY_GIT = {
    "echo x > x; git add x; echo y > x": "echo y > x",
    f"echo x > x; git add x; {_COMMIT}; rm x; echo y > y": "echo y > y",
    f"git checkout --quiet -b other; echo x >> README.md; {_COMMIT}; git checkout --quiet -; echo y > y":
        "echo y > y",
    "git rm --quiet --cached README.md; git mv poem.txt verse.txt": "mv poem.txt verse.txt",
    "echo x > x; echo x > .git/info/exclude": "echo x > x",
    "echo x >> README.md; git update-index --assume-unchanged README.md": "echo x >> README.md",
    "git init --quiet a; echo x > a/x; cd a; git add x; git -c user.name=a -c user.email=a@b commit --quiet -m x":
        "mkdir a; echo x > a/x",
    "mkdir -p a/.GIT; echo x > a/x; echo x > a/.GIT/config": "mkdir a; echo x > a/x",
    "rm -rf .git; echo 'gitdir: /nowhere' > .git; echo x > x": "echo x > x",
    "rm -rf .git; ln -s /etc .git; echo x > x": "echo x > x",
    "mkdir closed; git init --quiet closed/a; echo x > closed/a/x; chmod -R a-w closed":
        "mkdir -p closed/a; echo x > closed/a/x",
}  # fmt: skip
"""What an agent may do with git, and what it comes to."""

IGNORING = """
echo more >> kept.log; echo x > debug.log; mkdir build; echo x > build/made; echo x > source.txt
mkdir own; printf 'secret.txt\\n' > own/.gitignore; echo x > own/secret.txt; echo x > own/mine.gitignore
"""
