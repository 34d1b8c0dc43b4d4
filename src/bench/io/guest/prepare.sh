#!/bin/bash
# Makes the inputs of `kiln bench io` from what its image has, once, into the directory $1: markers.so and tree.tar. $2 is `quick`
# for a small tree.
set -eu
tools=/home/build out=$1
exec 3>&1 1>&2
mkdir /dev/shm/tree
cd /dev/shm/tree
gcc -O2 -shared -fPIC -o ../markers.so "$tools/markers.c"
mkdir src
for n in 1 2 3 4; do
  printf '#include <%s.h>\n' stdio stdlib string unistd errno fcntl time signal pthread sys/stat sys/socket sys/mman > "src/$n.c"
  for f in $(seq 50); do
    printf 'int f%s_%s(int x) { char t[64]; snprintf(t, sizeof t, "%%d", x); return (int)strlen(t) * %s + rand(); }\n' "$n" "$f" "$f"
  done >> "src/$n.c"
done
# Headers: those that the compiler reads, and with them directories of others, as a source has.
gcc -M src/1.c | tr ' ' '\n' | grep -o '/usr/include/.*\.h$' | sed 's,^/usr/,,' | tar -C /usr -c -T - | tar -x
cp -r /usr/include/x86_64-linux-gnu/bits include/x86_64-linux-gnu
[ "$2" = quick ] || cp -r /usr/include/linux /usr/include/asm-generic /usr/include/x86_64-linux-gnu include
export HOME=/dev/shm GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
echo '*.o' > .gitignore
git init -q
git add .
git -c user.name=kiln -c user.email=kiln@localhost commit -qm tree
# One pack, as a clone has it.
git gc -q
tar -cf ../tree.tar .
cp ../markers.so ../tree.tar "$out"
echo "@ fact fio $(fio --version)" >&3
echo "@ fact files $(find . -type f | wc -l)" >&3
