"""What each setting is for, in Indonesian. The English texts are the descriptions in ``sso.settings``; a test compares
the two lists."""

from __future__ import annotations

INDONESIAN: dict[str, str] = {
    "issuer": "Alamat publik penyedia: origin tanpa path dan tanpa garis miring di akhir. Alamat ini menjadi `iss` di "
    "setiap token, jadi tidak boleh berubah. Harus `https`, kecuali alamat loopback.",
    "database_url": "`postgresql://user@host/database` atau `sqlite:///path`. Kosong: berkas SQLite di direktori data, "
    "cukup untuk uji coba di satu mesin.",
    "data_dir": "Direktori untuk basis data bawaan dan, hanya di alamat loopback, untuk kunci rahasia yang dibuat "
    "otomatis.",
    "secret_key": "Satu atau beberapa rahasia, masing-masing minimal 32 karakter, dipisahkan koma. Rahasia pertama "
    "mengenkripsi data yang disimpan, semuanya dapat membukanya; untuk mengganti kunci, tulis kunci baru di depan. "
    "Wajib diisi kecuali issuer beralamat loopback. Buat dengan `openssl rand -base64 48`.",
    "trusted_proxies": "Alamat atau jaringan (CIDR) reverse proxy tepercaya, dipisahkan koma. Header `X-Forwarded-For` "
    "dari alamat lain diabaikan.",
    "city_name": "Nama kota, tampil di setiap halaman.",
    "service_name": "Nama layanan masuk, tampil di setiap halaman.",
    "support_contact": "Kontak layanan bantuan untuk warga; tampil di halaman kesalahan.",
    "default_locale": "Bahasa halaman bila permintaan dan browser tidak meminta bahasa yang tersedia.",
    "time_zone": "Zona waktu kota; halaman dan email menampilkan waktu dalam zona ini.",
    "session_idle_seconds": "Sesi berakhir bila tidak dipakai selama sekian detik.",
    "session_absolute_seconds": "Sesi berakhir sekian detik setelah masuk, dipakai atau tidak.",
    "session_touch_seconds": "Jarak terpendek antara dua pencatatan pemakaian sesi, dalam detik.",
    "remembered_idle_seconds": "Batas tanpa pemakaian untuk sesi di perangkat yang diingat, dalam detik.",
    "remembered_absolute_seconds": "Sesi di perangkat yang diingat berakhir sekian detik setelah masuk, dipakai atau "
    "tidak; 0: perangkat tidak dapat diingat.",
    "sessions_per_user": "Jumlah sesi seorang pengguna pada saat yang sama; sesi baru mengakhiri sesi yang paling lama "
    "tidak dipakai. 0: tanpa batas.",
    "step_up_seconds": "Tindakan berisiko memerlukan proses masuk dalam sekian detik terakhir.",
    "address_privacy": "Bentuk alamat jaringan yang disimpan bersama sesi dan di log: `full` (lengkap); `network` (24 "
    "bit pertama IPv4 dan 48 bit pertama IPv6); atau `none` (tidak disimpan).",
    "interaction_seconds": "Waktu bagi pengguna dari aplikasi sampai selesai masuk, dalam detik.",
    "code_seconds": "Masa berlaku authorization code, dalam detik (RFC 6749 bagian 4.1.2).",
    "access_token_seconds": "Masa berlaku access token, dalam detik.",
    "id_token_seconds": "Masa berlaku ID token, dalam detik.",
    "refresh_token_seconds": "Refresh token yang tidak dipakai selama sekian detik mengakhiri rangkaian tokennya.",
    "refresh_grace_seconds": "Refresh token yang dikirim ulang dalam sekian detik mendapat pengganti yang sama, karena "
    "jaringan seluler dapat kehilangan jawaban; setelah itu dianggap pemakaian ulang dan rangkaian tokennya berakhir "
    "(RFC 9700 bagian 4.14.2).",
    "signing_alg": "Algoritma tanda tangan access token, dan ID token bila client tidak menyebut algoritma.",
    "key_rotation_days": "Kunci tanda tangan dan enkripsi diganti otomatis setelah dipakai sekian hari; 0: hanya "
    "dengan `sso keys rotate`. Kunci lama tetap diterbitkan selama tokennya masih mungkin berlaku.",
    "pushed_request_seconds": "Masa berlaku pushed authorization request, dalam detik (RFC 9126 bagian 2.2).",
    "device_code_seconds": "Masa berlaku device code dan user code, dalam detik (RFC 8628 bagian 3.2).",
    "device_poll_seconds": "Jeda minimal antara dua permintaan token dari perangkat, dalam detik.",
    "device_codes_per_address": "Jumlah device code untuk satu aplikasi di satu alamat jaringan dalam 15 menit.",
    "pushed_requests_per_client": "Jumlah pushed authorization request satu aplikasi dalam 15 menit; untuk client "
    "publik dari satu alamat jaringan, sebanyak `waiting_requests_per_address`.",
    "waiting_requests_per_address": "Jumlah authorization request dari satu alamat jaringan, oleh pengguna yang belum "
    "masuk, yang disimpan dalam 15 menit.",
    "waiting_requests": "Jumlah authorization request yang menunggu, dan jumlah device code, yang disimpan dalam 15 "
    "menit secara keseluruhan; satu aplikasi boleh memakai sepersepuluh jumlah device code. Pendaftaran dan pemulihan "
    "yang dimulai dalam satu jam dibatasi dengan jumlah yang sama.",
    "device_code_failures_per_address": "Jumlah device code salah dari satu alamat dalam 15 menit sebelum ada jeda.",
    "registration": "Pendaftaran dinamis (RFC 7591): `closed` (tertutup); `token`, hanya dengan initial access token "
    "dari `sso clients invite`; atau `open` (untuk semua), bagi instalasi uji.",
    "relying_party_check": "Apakah aplikasi web milik tim harus lulus pemeriksaan sebelum diajukan ke produksi: "
    "`required` (wajib) atau `offered` (hanya ditawarkan).",
    "registration_profile": "Profil aplikasi yang mendaftarkan diri dengan `open`; initial access token membawa "
    "profilnya sendiri.",
    "registrations_per_address": "Jumlah pendaftaran aplikasi yang diterima dari satu alamat dalam satu jam.",
    "client_keys_seconds": "Lama penyimpanan kunci dari `jwks_uri` aplikasi, dalam detik. Key id yang tidak dikenal "
    "membuat kunci diambil ulang seketika.",
    "argon2_memory_kib": "Memori untuk satu hash kata sandi, dalam KiB (RFC 9106 bagian 4).",
    "argon2_iterations": "Jumlah putaran atas memori untuk satu hash kata sandi.",
    "argon2_lanes": "Jumlah jalur satu hash kata sandi; thread yang dipakai tetap satu.",
    "hash_concurrency": "Jumlah hash kata sandi yang dihitung bersamaan dalam satu proses; 0: satu per inti prosesor.",
    "hash_queue": "Jumlah hash kata sandi yang boleh antre dalam satu proses; bila penuh, pengguna diminta mencoba "
    "lagi sebentar lagi (503) agar layanan lain tetap cepat.",
    "sign_in_failures_per_account": "Jumlah kata sandi salah untuk satu akun dari satu jaringan dalam 15 menit sebelum "
    "ada jeda.",
    "sign_in_failures_per_address": "Jumlah kata sandi salah dari satu alamat dalam 15 menit sebelum ada jeda.",
    "limits_url": "Tempat kegagalan dan lonjakan dihitung: `memory`, di setiap proses; `database`; atau "
    "`redis://host:6379/0`, `rediss://`, `valkey://`, `valkeys://`, bersama untuk semua proses dan host.",
    "country_database": "Berkas berformat MaxMind (`.mmdb`) berisi negara asal alamat jaringan, misalnya dari DB-IP "
    "atau GeoLite2. Dengan berkas ini sesi menampilkan negara, dan proses masuk dari negara baru "
    "dianggap mencurigakan.",
    "second_factor_roles": "Peran, dipisahkan koma, yang wajib memakai verifikasi dua langkah saat masuk; pengguna "
    "yang belum memilikinya diminta mengaktifkannya. `none`: tidak ada.",
    "risk_second_step": "Kapan proses masuk dengan kata sandi dianggap mencurigakan dan memerlukan verifikasi dua "
    "langkah (kode email atau SMS bila tidak ada cara lain): tidak pernah; dari negara baru; atau juga dari browser "
    "baru. Proses masuk pertama tidak pernah dianggap mencurigakan.",
    "trusted_device_days": "Lama browser tepercaya tidak memerlukan verifikasi dua langkah, dalam hari; 0: selalu "
    "perlu.",
    "password_min_chars": "Panjang minimal kata sandi bila menjadi satu-satunya bukti, dalam karakter (SP 800-63B-4 "
    "3.1.1.2).",
    "password_min_chars_with_second_factor": "Panjang minimal kata sandi bila verifikasi dua langkah aktif, dalam "
    "karakter.",
    "breached_passwords": "Kata sandi yang pernah bocor di layanan lain, sebagai hash SHA-1: berkas berisi baris "
    "`HASH:COUNT` berurutan, atau direktori dengan satu berkas untuk setiap lima digit pertama (berkas range dari Have "
    "I Been Pwned).",
    "sign_up": "Apakah warga dapat mendaftar sendiri. Pendaftaran memerlukan email atau SMS.",
    "sign_ups_per_address": "Jumlah pendaftaran dan pemulihan yang dimulai dari satu alamat dalam satu jam.",
    "codes_per_contact": "Jumlah kode ke satu alamat email atau nomor telepon dalam satu jam, untuk setiap keperluan "
    "(pendaftaran, masuk, pemulihan, kontak baru) dan setiap jaringan yang meminta.",
    "codes_per_contact_a_day": "Jumlah kode ke satu alamat email atau nomor telepon dalam satu hari, untuk setiap "
    "keperluan.",
    "codes_per_address": "Jumlah kode email dan SMS yang diminta dari satu alamat jaringan dalam satu jam.",
    "sms_per_day": "Jumlah SMS berisi kode dalam satu hari secara keseluruhan; empat per lima untuk pengguna yang "
    "belum terverifikasi.",
    "invitations_per_person": "Jumlah undangan ke tim yang dikirim satu orang dalam satu hari; setengahnya lagi untuk "
    "satu aplikasi, dan 3 untuk satu penerima.",
    "code_minutes": "Masa berlaku kode yang dikirim, dalam menit.",
    "terms_version": "Versi ketentuan dan pemberitahuan privasi; versi yang disetujui pengguna ikut disimpan.",
    "terms_url": "Alamat ketentuan; kosong: halaman singkat bawaan.",
    "privacy_url": "Alamat pemberitahuan privasi; kosong: halaman singkat bawaan.",
    "recovery_delay_hours": "Waktu tunggu pemulihan dengan satu bukti saja padahal tersedia lebih banyak, dalam jam; "
    "pemilik akun diberi tahu dan dapat menghentikannya.",
    "helpdesk_code_minutes": "Masa berlaku kode pemulihan dari layanan bantuan, dalam menit.",
    "lock_hours": 'Lama akun terkunci setelah laporan "ini bukan saya", dalam jam; pemulihan membuka penguncian.',
    "deletion_grace_days": "Waktu bagi pengguna untuk membatalkan penghapusan akunnya, dalam hari.",
    "picture_max_bytes": "Ukuran terbesar foto yang boleh diunggah pengguna, dalam byte.",
    "brand_logo": "Logo kota (SVG atau PNG, maksimal 32 KB), tampil di setiap halaman; kosong: logo bawaan.",
    "brand_colour": "Warna tombol dan tautan pada latar terang, sebagai `#rrggbb`, dengan kontras 4,5 terhadap putih.",
    "brand_colour_dark": "Warna yang sama pada latar gelap, dengan kontras 4,5 terhadap `#16211f`; wajib diisi bersama "
    "warna pada latar terang.",
    "max_body_bytes": "Ukuran terbesar isi permintaan yang diterima, dalam byte; permintaan yang lebih besar ditolak "
    "dengan 413.",
    "database_pool_size": "Jumlah koneksi PostgreSQL yang dipertahankan satu proses.",
    "registry_poll_seconds": "Jeda setiap proses memeriksa perubahan client dan kunci, dalam detik; paling lama dua, "
    "sesuai yang dijanjikan.",
    "outbound_timeout_seconds": "Waktu terlama satu permintaan ke aplikasi, dalam detik.",
    "outbound_networks": "Jaringan (CIDR) nonpublik yang tetap boleh dihubungi, dipisahkan koma: jaringan kota tempat "
    "aplikasinya berada. Alamat privat lainnya ditolak.",
    "outbound_ca_file": "Berkas (PEM) berisi otoritas sertifikat tepercaya untuk alamat aplikasi, di samping yang umum "
    "dan milik mesin.",
    "delivery_give_up_seconds": "Pemberitahuan yang tidak diterima aplikasi selama sekian detik dianggap gagal.",
    "delivery_concurrency": "Jumlah pemberitahuan yang dikirim bersamaan oleh satu proses.",
    "delivery_per_receiver": "Jumlah pemberitahuan yang dikirim bersamaan oleh satu proses ke satu host, agar host "
    "yang lambat tidak menghambat yang lain.",
    "smtp_url": "Server pengirim email: `smtps://user:password@host:465`, atau `smtp://host:587` yang wajib mendukung "
    "STARTTLS kecuali di alamat loopback. Kosong: email tidak dikirim dan tidak dijanjikan.",
    "mail_from": "Pengirim email, dengan atau tanpa nama.",
    "sms_url": 'Gateway pengirim SMS: `https`; gateway menerima `{"to", "text", "sender"}` sebagai JSON dan menjawab '
    "2xx. Kosong: SMS tidak dikirim dan tidak dijanjikan.",
    "sms_token": "Dikirim ke gateway sebagai `Authorization: Bearer`.",
    "sms_sender": "Pengirim SMS.",
    "development_outbox": "Email dan SMS tidak dikirim, tetapi disimpan dan ditampilkan di `/outbox`. Hanya di alamat "
    "loopback.",
    "keep_ended_sessions_days": "Lama penyimpanan sesi yang berakhir beserta buktinya, dalam hari.",
    "keep_deliveries_days": "Lama penyimpanan kiriman yang terkirim atau gagal, dalam hari.",
    "audit_retention_days": "Catatan audit yang lebih tua dari sekian hari dihapus, setelah dibuat titik pemeriksaan "
    "sehingga rantai tetap dapat diverifikasi; 0: tidak ada yang dihapus. Ekspor dahulu dengan `sso audit export`.",
    "run_worker": "Mengirim pemberitahuan dan membersihkan data dari dalam proses server; bila tidak, jalankan `sso "
    "worker`.",
    "log_level": "Tingkat keparahan terendah yang dicatat.",
    "log_format": "Bentuk baris log.",
}


def description(name: str, english: str, locale: str) -> tuple[str, str]:
    """Return what a setting is for, and the language of that text.

    Args:
        name: of the setting, as in ``Settings``.
        english: its description in English.
        locale: of the page.
    """
    found = INDONESIAN.get(name) if locale == "id" else None
    return (found, "id") if found else (english, "en")
