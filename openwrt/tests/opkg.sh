#!/bin/sh
# Stands in for opkg in the tests: unpacks an .ipk below /, with opkg's rules for conffiles and its order of scripts.
#   opkg.sh install FILE.ipk | remove NAME
set -e
info=/usr/lib/opkg/info
mkdir -p $info /tmp

install_ipk() {
	work=/tmp/ipk
	rm -rf $work && mkdir -p $work/control $work/data
	tar -xzf "$1" -C $work
	tar -xzf $work/control.tar.gz -C $work/control
	tar -xzf $work/data.tar.gz -C $work/data
	name=$(sed -n 's/^Package: //p' $work/control/control)
	upgrade=0
	if [ -e "$info/$name.control" ]; then
		upgrade=1
		PKG_UPGRADE=1 "$info/$name.prerm" upgrade
	fi
	while read -r conffile; do
		new=$work/data$conffile
		was=$(cat "$info/$name.conffiles.md5" 2> /dev/null | grep " $conffile\$" | cut -d' ' -f1)
		now=$(md5sum < "$new" | cut -d' ' -f1)
		[ -e "$conffile" ] && [ -n "$was" ] && has=$(md5sum < "$conffile" | cut -d' ' -f1) || has=
		# Changed by the user: it stays, and the new one is laid beside it where that changed too.
		if [ -n "$has" ] && [ "$has" != "$was" ]; then
			[ "$now" = "$was" ] || cp -p "$new" "$conffile-opkg"
			rm "$new"
		fi
		echo "$now $conffile" > "$info/$name.conffiles.md5"
	done < $work/control/conffiles
	(cd $work/data && tar -cf - .) | tar -xf - -C /
	tar -tzf $work/data.tar.gz | sed 's/^\.//' | grep -v '/$' > "$info/$name.list"
	cp $work/control/control "$info/$name.control"
	for script in postinst prerm; do cp -p $work/control/$script "$info/$name.$script"; done
	PKG_UPGRADE=$upgrade IPKG_INSTROOT='' "$info/$name.postinst" configure
}

remove() {
	"$info/$1.prerm" remove
	conffile=/etc/config/tega
	while read -r file; do
		if [ "$file" = $conffile ]; then
			now=$(md5sum < $conffile | cut -d' ' -f1)
			! grep -q "^$now " "$info/$1.conffiles.md5" || rm $conffile
		else
			rm -f "$file"
		fi
	done < "$info/$1.list"
	rm -f $info/"$1".*
}

case $1 in
install) install_ipk "$2" ;;
remove) remove "$2" ;;
esac
