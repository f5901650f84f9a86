# Stands in for OpenWrt's /lib/functions.sh in the tests: what our scripts use of it, with the same effects. A UCI file
# that has only plain lines reads as shell does.

config_load() {
	CONFIG_SECTIONS=
	[ -r "/etc/config/$1" ] || return 1
	config() { CONFIG_SECTION=$2 CONFIG_SECTIONS="$CONFIG_SECTIONS $2"; eval "TYPE_$2='$1'"; }
	option() { eval "CONFIG_${CONFIG_SECTION}_$1=\$2"; }
	list() {
		local length
		eval "length=\${CONFIG_${CONFIG_SECTION}_${1}_LENGTH:-0}"
		length=$((length + 1))
		eval "CONFIG_${CONFIG_SECTION}_${1}_ITEM$length=\$2 CONFIG_${CONFIG_SECTION}_${1}_LENGTH=$length"
		eval "CONFIG_${CONFIG_SECTION}_$1=\"\${CONFIG_${CONFIG_SECTION}_$1:-} \$2\""
	}
	. "/etc/config/$1"
	unset -f config option list
}

config_foreach() { # function, type
	local section type
	for section in $CONFIG_SECTIONS; do
		eval "type=\$TYPE_$section"
		[ "$type" != "$2" ] || "$1" "$section"
	done
}

config_get() { eval "$1=\"\${CONFIG_${2}_$3:-\${4:-}}\""; }

config_get_bool() {
	local got
	config_get got "$2" "$3" "$4"
	case $got in 1 | on | true | yes | enabled) got=1 ;; *) got=0 ;; esac
	eval "$1=$got"
}

config_list_foreach() { # section, list, function, arguments
	local section=$1 list=$2 function=$3 length at=1 item
	shift 3
	eval "length=\${CONFIG_${section}_${list}_LENGTH:-0}"
	while [ $at -le "$length" ]; do
		eval "item=\$CONFIG_${section}_${list}_ITEM$at"
		"$function" "$item" "$@"
		at=$((at + 1))
	done
}

default_postinst() {
	local name script
	name=$(basename "${1%.*}")
	for script in $(grep '^/etc/uci-defaults/' "/usr/lib/opkg/info/$name.list"); do
		(. "$script") && rm -f "$script"
	done
	for script in $(grep '^/etc/init.d/' "/usr/lib/opkg/info/$name.list"); do
		[ "${PKG_UPGRADE:-0}" = 1 ] || echo "enable $script" >> /tmp/done
		echo "start $script" >> /tmp/done
	done
}

default_prerm() {
	local name script
	name=$(basename "${1%.*}")
	for script in $(grep '^/etc/init.d/' "/usr/lib/opkg/info/$name.list"); do
		[ "${PKG_UPGRADE:-0}" = 1 ] || echo "disable $script" >> /tmp/done
		echo "stop $script" >> /tmp/done
	done
}
