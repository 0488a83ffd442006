"""The settings as the console shows them: in groups, with what they are for in English or Indonesian.

The English texts are in ``sso.settings``; a test checks that none of the Indonesian texts is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sso.settings import GROUPS, Settings, Source, example, variable
from sso.settings.reference import masked as masked

INDONESIAN_TITLES: dict[str, str] = {
    "Server": "Server",
    "Metrics and traces": "Metrik dan trace",
    "Database": "Basis data",
    "Security": "Keamanan",
    "Tokens and authorization requests": "Token dan permintaan otorisasi",
    "Sessions": "Sesi",
    "Sign-in": "Masuk",
    "Second factor": "Verifikasi dua langkah",
    "Passwords": "Kata sandi",
    "Sign-up and accounts": "Pendaftaran dan akun",
    "Applications": "Aplikasi",
    "Requests to applications": "Permintaan ke aplikasi",
    "Channels": "Saluran",
    "Mail": "Email",
    "SMS": "SMS",
    "WhatsApp": "WhatsApp",
    "Rate limits": "Batas permintaan",
    "Audit log and retention": "Log audit dan penyimpanan",
    "Backup": "Cadangan",
    "Pages": "Halaman",
}
INDONESIAN: dict[str, str] = {
    "issuer": "URL publik penyedia: origin tanpa path dan tanpa garis miring di akhir. URL ini menjadi `iss` di "
    "setiap token, jadi tidak boleh berubah. Harus `https`, kecuali alamat loopback.",
    "trusted_proxies": "Alamat IP atau jaringan (CIDR) reverse proxy Anda, dipisahkan koma. Header "
    "`X-Forwarded-For` hanya dibaca dari alamat ini; dari alamat lain diabaikan.",
    "data_dir": "Direktori untuk basis data SQLite dan, hanya di alamat loopback, untuk kunci rahasia yang dibuat "
    "otomatis.",
    "max_body_size": "Ukuran terbesar isi permintaan yang diterima. Permintaan yang lebih besar ditolak dengan "
    "status 413.",
    "run_worker": "Proses server juga mengirim email, SMS, dan pemberitahuan serta menghapus data kedaluwarsa. "
    "Jika `false`, jalankan `sso worker`.",
    "shutdown_delay": "Setelah SIGTERM, server tetap menjawab permintaan selama waktu ini sementara `/readyz` menjawab "
    "503, agar load balancer berhenti mengirim permintaan sebelum server berhenti menerimanya. Isi dengan waktu yang "
    "diperlukan load balancer Anda untuk mengetahuinya.",
    "log_level": "Tingkat keparahan terendah yang dicatat.",
    "log_format": "Bentuk baris log.",
    "metrics_port": "Port terpisah tempat `sso serve` menjawab `/metrics` dalam format Prometheus untuk semua "
    "prosesnya. `0`: tidak ada. Port ini tidak meminta kata sandi: batasi aksesnya untuk sistem pemantauan saja.",
    "worker_metrics_port": "Sama seperti di atas, untuk `sso worker`.",
    "metrics_address": "Alamat IP untuk kedua port itu.",
    "metrics_token": "Token minimal 32 karakter. Jika diisi, server juga menjawab `/metrics` di portnya sendiri untuk "
    "permintaan dengan `Authorization: Bearer <token>`. Kosong: halaman itu tidak ada.",
    "otlp_endpoint": "URL tujuan pengiriman trace (OTLP lewat HTTP, protobuf). Kosong: tanpa trace. Memerlukan paket "
    "tambahan `otel`.",
    "trace_sample_ratio": "Bagian permintaan yang direkam sebagai trace, jika pemanggil belum menentukannya "
    "(`traceparent` dari proxy tepercaya).",
    "database_url": "`postgresql://user:password@host/database` atau `sqlite:///path`. Alamat PostgreSQL ditulis "
    "seperti untuk `psql`: boleh beberapa host (`host1:5432,host2:5432`) dan parameter seperti "
    "`?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem`. Kosong: berkas SQLite di "
    "direktori data, cukup untuk uji coba di satu mesin.",
    "database_pool_size": "Jumlah koneksi PostgreSQL yang dipertahankan satu proses.",
    "database_pool_timeout": "Lama permintaan menunggu koneksi PostgreSQL jika semua koneksi sedang dipakai atau "
    "basis data kelebihan koneksi. Setelah itu jawabannya 503.",
    "database_pooler": "`pgbouncer`: alamatnya adalah alamat PgBouncer, dalam mode transaction atau session. Server "
    "hanya mengirim parameter awal yang diterima PgBouncer, dan setiap transaksi dimulai dengan batas waktunya.",
    "database_prepared_statements": "Apakah PostgreSQL menyimpan prepared statement. `auto`: `off` di belakang "
    "PgBouncer, selain itu `on`. `on` di belakang PgBouncer memerlukan versi 1.21 atau lebih baru dengan "
    "`max_prepared_statements` minimal 200.",
    "database_connect_timeout": "Lama server menunggu koneksi ke satu host PostgreSQL. Setelah itu host berikutnya "
    "dicoba. `connect_timeout` di alamat lebih diutamakan.",
    "database_statement_timeout": "Lama satu perintah PostgreSQL boleh berjalan. Basis data yang 1 detik kemudian "
    "belum menjawab dianggap hilang. `0s`: tanpa batas.",
    "database_lock_timeout": "Lama satu perintah PostgreSQL menunggu baris atau tabel yang dikunci transaksi lain. "
    "`0s`: tanpa batas.",
    "database_idle_in_transaction_timeout": "Lama transaksi PostgreSQL boleh terbuka tanpa perintah, misalnya karena "
    "proses server macet. PostgreSQL lalu mengakhiri transaksi dan kuncinya. `0s`: tanpa batas.",
    "database_tcp_keepalive": "Lama koneksi ke PostgreSQL diam sebelum sistem operasi memeriksa apakah host itu masih "
    "ada, dalam detik bulat. `0s`: tidak pernah.",
    "database_tcp_user_timeout": "Lama host PostgreSQL boleh tidak mengakui data atau pemeriksaan sebelum koneksi "
    "dianggap putus (`TCP_USER_TIMEOUT`, di Linux). `0s`: bawaan sistem operasi, sekitar 15 menit.",
    "registry_poll_interval": "Jeda setiap proses memeriksa perubahan aplikasi dan kunci di basis data. "
    "Dokumentasi menjanjikan perubahan berlaku dalam dua detik.",
    "secret_key": "Satu atau beberapa rahasia, masing-masing minimal 32 karakter, dipisahkan koma. Rahasia pertama "
    "mengenkripsi data yang disimpan; semuanya dapat mendekripsi. Untuk mengganti rahasia pada satu proses, "
    "tulis rahasia baru di depan; pada beberapa proses, mula-mula di belakang di semuanya (docs/how-to/operations.md). "
    "Wajib diisi kecuali issuer beralamat loopback. Buat dengan `openssl rand -base64 48`.",
    "signing_alg": "Algoritma tanda tangan access token, dan ID token jika client tidak meminta algoritma lain.",
    "key_rotation_interval": "Umur kunci tanda tangan dan enkripsi saat diganti otomatis. `0s`: kunci hanya "
    "diganti dengan `sso keys rotate`. Kunci lama tetap diterbitkan selama token yang ditandatanganinya masih "
    "mungkin berlaku.",
    "ip_address_privacy": "Bentuk alamat IP yang disimpan di sesi dan log: `full` (lengkap); `network` (24 bit "
    "pertama IPv4, 48 bit pertama IPv6); atau `none` (tidak disimpan).",
    "authorization_request_lifetime": "Waktu bagi pengguna dari permintaan aplikasi sampai selesai masuk.",
    "pushed_request_lifetime": "Masa berlaku pushed authorization request (RFC 9126 bagian 2.2).",
    "authorization_code_lifetime": "Masa berlaku authorization code (RFC 6749 bagian 4.1.2).",
    "cas_ticket_lifetime": "Masa berlaku service ticket protokol CAS sampai divalidasi aplikasinya (CAS Protocol 3.0 "
    "bagian 3.1.1).",
    "access_token_lifetime": "Masa berlaku access token.",
    "token_access_claims_size": "Ukuran terbesar klaim `roles` dan `groups` di dalam token, sebagai JSON. Klaim yang "
    "lebih besar tidak dimuat di token agar header atau cookie aplikasi tidak terlalu besar; userinfo dan introspeksi "
    "tetap memuatnya.",
    "id_token_lifetime": "Masa berlaku ID token.",
    "refresh_token_lifetime": "Masa berlaku refresh token. Setiap pemakaian menghasilkan refresh token baru dengan "
    "masa berlaku baru.",
    "refresh_token_grace_period": "Refresh token yang dikirim ulang dalam waktu ini mendapat pengganti yang sama, "
    "karena jaringan seluler dapat kehilangan jawaban. Pemakaian setelahnya dianggap pemakaian ulang dan mencabut "
    "semua token dari grant itu (RFC 9700 bagian 4.14.2).",
    "device_code_lifetime": "Masa berlaku device code dan user code (RFC 8628 bagian 3.2).",
    "device_polling_interval": "Jeda minimal antara dua permintaan token dari perangkat (`interval`, RFC 8628 "
    "bagian 3.2).",
    "session_idle_timeout": "Sesi berakhir jika tidak dipakai selama waktu ini.",
    "session_lifetime": "Sesi berakhir setelah waktu ini sejak masuk, walaupun sedang dipakai.",
    "session_last_seen_interval": "Jeda minimal antara dua pencatatan pemakaian terakhir sesi.",
    "remembered_session_idle_timeout": "Batas waktu tanpa pemakaian untuk sesi di perangkat yang diingat.",
    "remembered_session_lifetime": "Masa berlaku sesi di perangkat yang diingat. `0s`: pengguna tidak dapat "
    "memilih agar perangkat diingat.",
    "sessions_per_user": "Jumlah sesi seorang pengguna pada saat yang sama; sesi baru mengakhiri sesi yang paling "
    "lama tidak dipakai. 0: tanpa batas.",
    "reauthentication_age": "Umur paling lama proses masuk untuk tindakan sensitif. Jika lebih lama, pengguna "
    "diminta masuk lagi.",
    "account_lock_duration": 'Lama akun terkunci setelah pengguna melaporkan "ini bukan saya". Pemulihan akun '
    "membuka penguncian.",
    "second_factor_roles": "Peran, dipisahkan koma, yang wajib memakai verifikasi dua langkah saat masuk; pengguna "
    "yang belum memilikinya diminta mengaktifkannya. `none`: tidak ada.",
    "risk_based_second_factor": "Kapan proses masuk dengan kata sandi dianggap mencurigakan dan memerlukan "
    "verifikasi dua langkah (kode email atau SMS jika tidak ada cara lain): `none`, tidak pernah; `new_country`, "
    "dari negara baru; `new_device`, juga dari browser baru. Proses masuk pertama tidak pernah dianggap "
    "mencurigakan.",
    "trusted_device_lifetime": "Lama browser yang dipercaya pengguna tidak memerlukan verifikasi dua langkah. "
    "`0s`: pengguna tidak dapat mempercayai browser.",
    "country_database": "Berkas berformat MaxMind (`.mmdb`) berisi negara asal alamat IP, misalnya dari DB-IP atau "
    "GeoLite2. Dengan berkas ini sesi menampilkan negara, dan proses masuk dari negara baru dianggap mencurigakan.",
    "password_min_length": "Panjang minimal, dalam karakter, kata sandi yang menjadi satu-satunya faktor (SP "
    "800-63B-4 3.1.1.2).",
    "password_min_length_with_second_factor": "Panjang minimal, dalam karakter, kata sandi pengguna yang memakai "
    "verifikasi dua langkah.",
    "breached_passwords": "Kata sandi yang pernah bocor di layanan lain, sebagai hash SHA-1: berkas berisi baris "
    "`HASH:COUNT` berurutan, atau direktori dengan satu berkas untuk setiap lima digit pertama (berkas range dari "
    "Have I Been Pwned).",
    "argon2_memory": "Memori untuk satu hash kata sandi (`m`, RFC 9106 bagian 4).",
    "argon2_iterations": "Jumlah putaran atas memori untuk satu hash kata sandi (`t`).",
    "argon2_parallelism": "Paralelisme satu hash kata sandi (`p`). Server memakai satu thread untuk nilai apa pun.",
    "password_hash_concurrency": "Jumlah hash kata sandi yang dihitung bersamaan dalam satu proses; 0: satu per "
    "inti prosesor.",
    "password_hash_queue": "Jumlah hash kata sandi yang boleh antre dalam satu proses; jika penuh, pengguna "
    "diminta mencoba lagi sebentar lagi (503) agar layanan lain tetap cepat.",
    "sign_up": "Apakah warga dapat mendaftar sendiri. Pendaftaran memerlukan email atau SMS.",
    "one_time_code_lifetime": "Masa berlaku kode sekali pakai yang dikirim lewat email atau SMS.",
    "recovery_delay": "Waktu tunggu pemulihan akun dengan satu faktor jika pengguna memiliki lebih banyak. "
    "Pengguna diberi tahu dan dapat menghentikannya.",
    "helpdesk_code_lifetime": "Masa berlaku kode pemulihan dari layanan bantuan.",
    "user_invitation_lifetime": "Masa berlaku undangan yang dikirim administrator kepada pengguna baru.",
    "deletion_grace_period": "Waktu bagi pengguna untuk membatalkan penghapusan akunnya.",
    "max_picture_size": "Ukuran terbesar foto yang boleh diunggah pengguna.",
    "client_registration": "Pendaftaran dinamis (RFC 7591): `closed` (tertutup); `token`, hanya dengan initial "
    "access token dari `sso clients invite`; atau `open` (untuk semua), bagi instalasi uji.",
    "client_registration_profile": "Profil aplikasi yang mendaftarkan diri dengan `open`; initial access token "
    "membawa profilnya sendiri.",
    "client_keys_cache_lifetime": "Lama penyimpanan kunci dari `jwks_uri` client. Key id yang tidak dikenal "
    "membuat kunci diambil ulang seketika.",
    "relying_party_check": "Apakah aplikasi web milik tim harus lulus pemeriksaan sebelum diajukan ke produksi: "
    "`required` (wajib) atau `offered` (hanya ditawarkan).",
    "outbound_timeout": "Waktu terlama satu permintaan ke aplikasi.",
    "outbound_networks": "Jaringan (CIDR) nonpublik yang tetap boleh dihubungi, dipisahkan koma: jaringan kota "
    "tempat aplikasinya berada. Alamat privat lainnya ditolak.",
    "outbound_ca_file": "Berkas (PEM) berisi otoritas sertifikat tambahan yang tepercaya untuk URL aplikasi.",
    "delivery_retry_period": "Lama pemberitahuan yang tidak diterima aplikasi dicoba ulang. Setelah itu "
    "pemberitahuan dianggap gagal.",
    "delivery_concurrency": "Jumlah pemberitahuan dari satu jenis (logout, peristiwa keamanan, webhook, pemberitahuan, "
    "pesan) yang dikirim bersamaan oleh satu proses. Seperdelapannya disediakan untuk tiap jenis; sisanya dipakai "
    "bersama oleh semua jenis.",
    "delivery_concurrency_per_host": "Jumlah pemberitahuan yang dikirim bersamaan oleh satu proses ke satu host, "
    "agar host yang lambat tidak menghambat yang lain.",
    "smtp_url": "Server pengirim email: `smtps://user:password@host:465`, atau `smtp://host:587` yang wajib "
    "mendukung STARTTLS kecuali di alamat loopback. Kosong: penyedia tidak mengirim email dan tidak menawarkan hal "
    "yang memerlukan email.",
    "mail_from": "Pengirim email: alamat email, dengan atau tanpa nama.",
    "development_outbox": "Email, SMS, dan pesan WhatsApp tidak dikirim, tetapi disimpan dan ditampilkan di "
    "`/outbox`. Hanya di "
    "alamat loopback.",
    "sms_url": 'URL `https` gateway SMS. Penyedia mengirim `{"to", "text", "sender"}` sebagai JSON dan '
    "mengharapkan status 2xx. Kosong: penyedia tidak mengirim SMS dan tidak menawarkan hal yang memerlukan SMS.",
    "sms_token": "Token yang diterima gateway sebagai `Authorization: Bearer`.",
    "sms_sender": "Pengirim SMS.",
    "phone_prefixes": "Kode negara dan awalan nomor telepon yang dikirimi SMS dan pesan WhatsApp, dipisahkan koma. "
    "Angka setelah `=` membatasi jumlah pesan ke awalan itu dalam satu hari untuk setiap saluran: `+62,+65=200`. Nomor "
    "lain tidak dikirimi pesan: ini melindungi dari penipuan tarif (toll fraud).",
    "phone_budget_alarm": "Persentase anggaran harian SMS atau WhatsApp yang terpakai sebelum administrator diberi "
    "tahu lewat email, satu kali sehari.",
    "whatsapp_phone_number_id": "Phone number ID pengirim di WhatsApp Business Platform (Cloud API). Kosong: penyedia "
    "tidak mengirim pesan WhatsApp.",
    "whatsapp_token": "Access token milik system user dengan izin `whatsapp_business_messaging`.",
    "whatsapp_token_file": "Berkas berisi access token, sebagai pengganti `SSO_WHATSAPP_TOKEN`. Berkas dibaca "
    "lagi jika "
    "berubah, sehingga token baru tidak memerlukan start ulang.",
    "whatsapp_app_secret": "App secret dari aplikasi Meta. Dipakai untuk memeriksa tanda tangan "
    "(`X-Hub-Signature-256`) laporan pengiriman.",
    "whatsapp_verify_token": "Nilai acak paling sedikit 16 karakter yang juga Anda isi di pengaturan webhook aplikasi "
    "Meta (`hub.verify_token`).",
    "whatsapp_code_templates": "Template autentikasi yang disetujui untuk kode sekali pakai, sebagai `bahasa=nama`, "
    "dipisahkan koma. Bahasa adalah kode yang dipakai Meta, misalnya `id`, `en`, atau `en_US`.",
    "whatsapp_notice_templates": "Template utility yang disetujui untuk pemberitahuan, sebagai `bahasa=nama`, "
    "dipisahkan koma. Isinya memiliki satu parameter: teks pemberitahuan.",
    "whatsapp_api_url": "URL dasar Cloud API, termasuk versinya.",
    "whatsapp_fallback_after": "Jika WhatsApp belum memastikan pesan terkirim setelah waktu ini, pesan yang "
    "sama dikirim "
    "lewat SMS, jika SMS tersedia. Harus lebih singkat dari `SSO_ONE_TIME_CODE_LIFETIME`.",
    "whatsapp_per_day": "Jumlah pesan WhatsApp dalam satu hari secara keseluruhan.",
    "phone_channel": "Cara kode dan pemberitahuan dikirim ke nomor telepon jika SMS dan WhatsApp tersedia: `whatsapp` "
    "atau `sms`. Pengguna dapat memilih yang lain; pilihannya disimpan bersama nomornya.",
    "rate_limit_storage": "Tempat kegagalan dan permintaan dihitung: `memory`, di setiap proses; `database`; atau "
    "server Redis atau Valkey untuk semua proses dan host: `redis://host:6379/0`, `rediss://`, `valkey://`, "
    "`valkeys://`. Kosong: `memory`.",
    "rate_limit_connect_timeout": "Waktu terlama untuk membuka koneksi ke Redis atau Valkey. Setelah waktu itu habis "
    "atau terjadi kesalahan, proses menghitung di memorinya sendiri sampai server menjawab lagi.",
    "rate_limit_command_timeout": "Waktu terlama untuk satu perintah ke Redis atau Valkey.",
    "rate_limit_retry_interval": "Jeda sebelum proses memeriksa lagi penyimpanan batas yang tidak menjawab. Jeda "
    "berlipat dua, sampai lima kali nilai ini.",
    "sign_in_failures_per_account": "Jumlah kata sandi salah untuk satu akun dari satu jaringan dalam 15 menit "
    "sebelum ada jeda.",
    "sign_in_failures_per_ip_address": "Jumlah kata sandi salah dari satu alamat IP dalam 15 menit sebelum ada jeda.",
    "sign_ups_per_ip_address": "Jumlah pendaftaran dan pemulihan akun yang dimulai dari satu alamat IP dalam satu jam.",
    "one_time_codes_per_contact_per_hour": "Jumlah kode sekali pakai ke satu alamat email atau nomor telepon dalam "
    "satu jam, untuk setiap keperluan (pendaftaran, masuk, pemulihan, kontak baru) dan setiap jaringan yang "
    "meminta.",
    "one_time_codes_per_contact_per_day": "Jumlah kode sekali pakai ke satu alamat email atau nomor telepon dalam "
    "satu hari, untuk setiap keperluan.",
    "one_time_codes_per_ip_address": "Jumlah kode sekali pakai lewat email dan SMS yang diminta dari satu alamat "
    "IP dalam satu jam.",
    "sms_per_day": "Jumlah SMS dalam satu hari secara keseluruhan, dan jumlah kode sekali pakai ke nomor telepon; "
    "paling banyak empat per lima kode itu untuk pengguna yang belum terautentikasi atau nomor yang belum "
    "terverifikasi.",
    "pending_requests_per_ip_address": "Jumlah authorization request dari pengguna yang belum masuk yang dikirim satu "
    "alamat IP ke satu proses server dalam 15 menit. Untuk subnetnya lima kali lipat. Batas yang sama berlaku untuk "
    "permintaan yang disimpan: permintaan yang terlalu panjang untuk URL, dan pushed authorization request dari "
    "client publik.",
    "pending_requests_total": "Jumlah authorization request, dan jumlah device code, yang disimpan dalam 15 menit "
    "secara keseluruhan; satu aplikasi boleh memakai sepersepuluh jumlah device code. Pendaftaran dan pemulihan yang "
    "dimulai dalam satu jam dibatasi dengan jumlah yang sama. Jika batas tercapai, setiap alamat IP masih mendapat 3.",
    "pushed_requests_per_client": "Jumlah pushed authorization request satu client dalam 15 menit. Untuk client "
    "publik dan satu alamat IP, batasnya `pending_requests_per_ip_address`.",
    "device_codes_per_ip_address": "Jumlah device code untuk satu aplikasi dan satu alamat IP dalam 15 menit.",
    "device_code_failures_per_ip_address": "Jumlah user code salah dari satu alamat IP dalam 15 menit sebelum ada "
    "jeda.",
    "client_registrations_per_ip_address": "Jumlah pendaftaran dinamis client dari satu alamat IP dalam satu jam.",
    "invitations_per_user": "Jumlah undangan ke tim yang dikirim satu pengguna dalam satu hari. Untuk satu "
    "aplikasi batasnya setengah lebih banyak; untuk satu penerima 3.",
    "attributes_file": "Berkas YAML yang mendeklarasikan atribut pengguna di samping claim standar. Server menerapkan "
    "berkas ini saat mulai, kecuali jika ada nilai yang akan terhapus; `sso attributes apply` menerapkannya kapan "
    "saja.",
    "audit_retention": "Peristiwa audit yang lebih tua dari ini dihapus. Titik pemeriksaan menjaga rantai selebihnya "
    "tetap dapat diverifikasi. `0s`: tidak ada yang dihapus. Ekspor dahulu dengan `sso audit export`.",
    "ended_session_retention": "Lama penyimpanan sesi yang berakhir beserta laporan pengiriman logout-nya.",
    "delivery_retention": "Lama penyimpanan email, SMS, dan pemberitahuan yang terkirim atau gagal.",
    "backup_key_file": "Berkas berisi sedikitnya 32 byte acak untuk mengenkripsi cadangan, dibuat dengan "
    "`openssl rand -base64 48`. Simpan salinannya terpisah dari cadangan: tanpa berkas ini cadangan tidak dapat "
    "dibaca.",
    "backup_passphrase": "Frasa sandi sedikitnya 20 karakter untuk mengenkripsi cadangan, jika berkas kunci tidak "
    "diatur.",
    "backup_database_url": "Alamat PostgreSQL untuk `sso backup` dan `sso restore`, jika `SSO_DATABASE_URL` menuju "
    "PgBouncer. pg_dump dan pg_restore mengubah koneksi yang kemudian diberikan PgBouncer kepada server.",
    "backup_scratch_database_url": "Basis data PostgreSQL kosong tempat `sso backup --verify` dan `sso restore "
    "--check` memulihkan cadangan; isinya dihapus lagi. Kosong: basis data baru di server `SSO_DATABASE_URL`; role-nya "
    "perlu `CREATEDB`.",
    "city_name": "Nama kota, tampil di setiap halaman.",
    "service_name": "Nama layanan masuk, tampil di setiap halaman.",
    "support_contact": "Alamat email atau URL layanan bantuan; tampil di bagian bawah setiap halaman.",
    "help_pages": "Halaman bantuan di `/help`, dalam bahasa Indonesia dan Inggris: `all`, untuk warga dan "
    "pengembang; `citizen` atau `developer`, hanya salah satunya; `none`, tidak ada. Tautan di bagian bawah setiap "
    "halaman menuju bantuan untuk warga, kecuali jika `SSO_SUPPORT_CONTACT` berupa URL.",
    "security_contact": "Kontak untuk melaporkan kerentanan keamanan di `/.well-known/security.txt`: alamat email atau "
    "URL `https`. Kosong: `SSO_SUPPORT_CONTACT`.",
    "support_phone": "Nomor telepon layanan bantuan; tampil di bagian bawah setiap halaman. Kosong: tidak ada.",
    "support_whatsapp": "Nomor WhatsApp layanan bantuan dengan kode negara; tampil sebagai tautan di bagian bawah "
    "setiap halaman. Kosong: tidak ada.",
    "default_locale": "Bahasa halaman jika permintaan dan browser tidak meminta bahasa yang tersedia.",
    "time_zone": "Zona waktu kota; halaman dan email menampilkan waktu dalam zona ini.",
    "brand_logo": "Logo kota (SVG atau PNG, maksimal 32 KB), tampil di setiap halaman; kosong: logo bawaan.",
    "brand_colour": "Warna tombol dan tautan pada latar terang, sebagai `#rrggbb`, dengan kontras 4,5 terhadap putih.",
    "brand_colour_dark": "Warna yang sama pada latar gelap, dengan kontras 4,5 terhadap `#16211f`; wajib diisi "
    "bersama warna pada latar terang.",
    "brand_logo_data": "Logo yang sama sebagai data URL, jika tidak ada berkas yang dapat disebut. `SSO_BRAND_LOGO` "
    "lebih diutamakan.",
    "channels": "Saluran, dipisahkan koma, yang dipakai penyedia untuk kode dan pemberitahuan: `email`, `sms`, "
    "`whatsapp`. Setiap saluran juga memerlukan servernya. `none`: tidak ada saluran.",
    "sign_in_notice": "Teks di atas formulir masuk, dalam bahasa Indonesia, misalnya tentang pemeliharaan terencana. "
    "Kosong: tidak ada.",
    "sign_in_notice_english": "Teks yang sama dalam bahasa Inggris. Kosong: semua orang melihat teks bahasa Indonesia.",
    "terms_version": "Versi ketentuan dan pemberitahuan privasi; versi yang disetujui pengguna ikut disimpan.",
    "terms_url": "URL ketentuan; kosong: halaman bawaan.",
    "privacy_url": "URL pemberitahuan privasi; kosong: halaman bawaan.",
}


@dataclass(frozen=True, slots=True)
class SettingView:
    """A setting on the page. ``differs``: from the default; ``source``: where the value comes from."""

    variable: str
    value: str
    differs: bool
    description: str
    example: str
    source: Source


@dataclass(frozen=True, slots=True)
class SettingGroupView:
    """Settings under one heading. ``language``: of the heading and of the descriptions."""

    title: str
    language: str
    settings: list[SettingView]


def description_of(name: str, locale: str) -> str:
    """Return what a setting is for."""
    return INDONESIAN[name] if locale == "id" else Settings.model_fields[name].description or ""


def setting_views(settings: Settings, locale: str = "en") -> list[SettingGroupView]:
    """Return every setting, in groups; secrets are masked."""
    language = "id" if locale == "id" else "en"
    groups = []
    for group in GROUPS:
        title = INDONESIAN_TITLES[group.title] if language == "id" else group.title
        rows = [
            SettingView(
                variable=variable(name),
                value=masked(getattr(settings, name)),
                differs=getattr(settings, name) != field.get_default(call_default_factory=True),
                description=INDONESIAN[name] if language == "id" else field.description or "",
                example=f"{variable(name)}={example(field)}",
                source=settings.source_of(name),
            )
            for name, field in group.model_fields.items()
        ]
        groups.append(SettingGroupView(title, language, rows))
    return groups
