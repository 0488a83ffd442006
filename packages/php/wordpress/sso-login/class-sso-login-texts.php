<?php

/** The texts of the plug-in: Indonesian where WordPress is set to Indonesian, else English. */
class Sso_Login_Texts
{
    private static $indonesian = array(
        'Sign in with the city account' => 'Masuk dengan akun kota',
        'Sign in with the city account. The password form is for administrators.' => 'Masuklah dengan akun kota. Formulir kata sandi hanya untuk administrator.',
        'This site has no account for you. Ask its administrator.' => 'Anda belum punya akun di situs ini. Hubungi administrator situs.',
        'An administrator of this site must first link the account: sign in with the password, and open the profile.' => 'Akun administrator harus ditautkan lebih dahulu: masuk dengan kata sandi, lalu buka halaman profil.',
        'This city account is linked to another user of this site.' => 'Akun kota ini sudah ditautkan dengan pengguna lain di situs ini.',
        'You are no longer signed in to this site. Sign in, and link again.' => 'Anda tidak lagi masuk di situs ini. Masuk, lalu tautkan lagi.',
        'City account' => 'Akun kota',
        'Linked' => 'Sudah ditautkan',
        'Link the city account' => 'Tautkan akun kota',
        'Link this city account?' => 'Tautkan akun kota ini?',
        'This city account will sign in to this site as %s.' => 'Akun kota ini akan dipakai untuk masuk ke situs ini sebagai %s.',
        'Name' => 'Nama',
        'E-mail' => 'Email',
        'Cancel' => 'Batal',
        'Settings' => 'Pengaturan',
        'Register these addresses in the developer portal' => 'Daftarkan alamat berikut di portal pengembang',
        'Redirect URI and back-channel logout URI' => 'Redirect URI dan back-channel logout URI',
        'Post-logout redirect URI' => 'Post-logout redirect URI',
        'Sign-in page for administrators, without the city account' => 'Halaman masuk untuk administrator, tanpa akun kota',
        'Issuer' => 'Issuer',
        'Client ID' => 'Client ID',
        'Scope' => 'Scope',
        'Open the sign-in page of the city at once' => 'Langsung buka halaman masuk kota',
        'Passwords for administrators only' => 'Kata sandi hanya untuk administrator',
        'Link users by verified e-mail address' => 'Tautkan pengguna lewat email terverifikasi',
        'User meta field with the NIP (empty: not used)' => 'Nama user meta yang berisi NIP (kosong: tidak dipakai)',
        'Create an account for new users' => 'Buat akun untuk pengguna baru',
        'Role of new users' => 'Peran pengguna baru',
        'Roles, one in each line: role of the application = role of WordPress' => 'Peran, satu per baris: peran aplikasi = peran WordPress',
        'Add this line to wp-config.php:' => 'Tambahkan baris ini ke wp-config.php:',
        'The sign-in cannot be used yet:' => 'Fitur masuk belum dapat dipakai:',
    );

    public static function get($text)
    {
        $isIndonesian = strncmp(determine_locale(), 'id', 2) === 0;
        return $isIndonesian && isset(self::$indonesian[$text]) ? self::$indonesian[$text] : $text;
    }
}
