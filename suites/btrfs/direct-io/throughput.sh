. "${0%/*}/exercise.sh"
fresh "$DEV"
attach
fbtool nocow "$MNT/nocow"
fbtool dio-bench "$MNT/nocow" "$SEED" dio_write_mb_s
fbtool dio-bench "$MNT/cow" "$SEED" dio_write_cow_mb_s
remount -o nodatasum
fbtool dio-bench "$MNT/nosum" "$SEED" dio_write_nosum_mb_s
detach
