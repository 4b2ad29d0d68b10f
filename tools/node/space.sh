# What the first process of a node's namespaces does before it waits for its end.
# Arguments: the data folder, the helper program, the node's name and its address.
set -eu
data=$1 helper=$2 name=$3 address=$4

# Volumes of pods are mounted by one process and seen by another.
mount --make-rshared /
hostname "$name"

# Sockets, locks and network namespaces of the machine are hidden, not touched. Short paths, too:
# those of sockets are limited to 107 bytes.
mount -t tmpfs -o mode=755 node /run
mkdir /run/node /run/netns
mount --bind "$data" /run/node
# kubelet and CNI write to places below /var that no flag moves: what they write lands in our folder.
mkdir -p "$data/var" "$data/work"
mount -t overlay -o "lowerdir=/var,upperdir=$data/var,workdir=$data/work" node /var

# The kubelet sets these for the whole machine: it sees files that already hold what it wants.
# https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/component-helpers/node/util/sysctl/sysctl.go
mkdir -p "$data/sysctl"
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=/proc/sys/${setting%=*} own=$data/sysctl/$(basename "${setting%=*}")
	echo "${setting#*=}" >"$own"
	mount --bind "$own" "$file"
done

# Both ends of the cable are in here: a default route must exist, and leads nowhere.
ip link set lo up
ip link add eth0 type veth peer name gateway
ip address add "$address/24" dev eth0
ip link set eth0 up
ip link set gateway up
ip route add default via "${address%.*}.1"
echo 1 >/proc/sys/net/ipv4/ip_forward
# Pods of one bridge that talk through a Service: the answer has to pass the rules as well.
test -e /proc/sys/net/bridge || modprobe br_netfilter
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

: >"$data/ready"
exec "$helper" pause
